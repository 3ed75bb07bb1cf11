resource "gitea_org" "team" {
  name        = "everybody"
  full_name   = "Everybody"
  description = ""
  visibility  = "private"
}

resource "gitea_team" "admin" {
  organisation             = gitea_org.team.name
  name                     = "admin"
  permission               = "admin"
  can_create_repos         = true
  include_all_repositories = true

  lifecycle {
    # Gitea lists the units in an order of its own.
    ignore_changes = [units]
  }
}

resource "gitea_team_membership" "admin" {
  for_each = toset(["boss"])
  team_id  = gitea_team.admin.id
  username = each.value
}

resource "gitea_team" "viewer" {
  organisation             = gitea_org.team.name
  name                     = "viewer"
  permission               = "read"
  can_create_repos         = false
  include_all_repositories = true

  lifecycle {
    # Gitea answers "none" for a permission below admin, and the provider sends that back with any
    # change, which Gitea then refuses: what somebody changes by hand must not stop every apply.
    ignore_changes = all
  }
}

resource "gitea_team_membership" "viewer" {
  for_each = toset(["adam", "zoe"])
  team_id  = gitea_team.viewer.id
  username = each.value
}
