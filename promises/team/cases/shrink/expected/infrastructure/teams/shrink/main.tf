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
    # Gitea answers "none" for a permission below admin, and lists the units in an order of its own.
    ignore_changes = [permission, units]
  }
}

resource "gitea_team_membership" "developer" {
  for_each = toset(["ada"])
  team_id  = gitea_team.developer.id
  username = each.value
}
