resource "gitea_org" "team" {
  name        = "lived"
  full_name   = "Lived"
  description = ""
  visibility  = "public"
}
