resource "gitea_org" "team" {
  name        = "before"
  full_name   = "Rename"
  description = ""
  visibility  = "public"
}
