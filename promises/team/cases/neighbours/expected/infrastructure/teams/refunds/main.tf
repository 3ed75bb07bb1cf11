resource "gitea_org" "team" {
  name        = "refunds"
  full_name   = "Refunds"
  description = ""
  visibility  = "public"
}
