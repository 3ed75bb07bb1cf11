resource "gitea_org" "team" {
  name        = "good"
  full_name   = "Good"
  description = ""
  visibility  = "public"
}
