resource "gitea_org" "team" {
  name        = "team-small"
  full_name   = "Small"
  description = ""
  visibility  = "public"
}
