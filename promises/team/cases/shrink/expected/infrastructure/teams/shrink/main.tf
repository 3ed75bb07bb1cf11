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

  lifecycle {
    # Gitea answers "none" for a permission below admin, and the provider sends that back with any
    # change, which Gitea then refuses: what somebody changes by hand must not stop every apply.
    ignore_changes = all
  }
}

resource "gitea_team_membership" "developer" {
  for_each = toset(["ada"])
  team_id  = gitea_team.developer.id
  username = each.value
}
