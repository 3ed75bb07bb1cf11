resource "gitea_org" "team" {
  name        = "wanted"
  full_name   = "First"
  description = ""
  visibility  = "public"
}
