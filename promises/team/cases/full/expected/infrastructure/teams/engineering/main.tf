resource "gitea_org" "team" {
  name        = "engineering"
  full_name   = "Engineering"
  description = ""
  visibility  = "public"
}
