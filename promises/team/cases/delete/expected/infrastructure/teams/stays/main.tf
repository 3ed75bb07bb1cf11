resource "gitea_org" "team" {
  name        = "stays"
  full_name   = "Stays"
  description = ""
  visibility  = "public"
}
