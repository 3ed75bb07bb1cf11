resource "gitea_org" "team" {
  name        = "shrink"
  full_name   = "Shrink"
  description = ""
  visibility  = "public"
}

resource "gitea_team" "developer" {
  organisation             = gitea_org.team.name
  name                     = "developer"
  permission               = "write"
  can_create_repos         = false
  include_all_repositories = true
}

resource "gitea_team_membership" "developer" {
  for_each = toset(["ada"])
  team_id  = gitea_team.developer.id
  username = each.value
}
