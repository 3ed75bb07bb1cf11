resource "gitea_org" "team" {
  name        = "after"
  full_name   = "Rename"
  description = ""
  visibility  = "public"
}
