resource "gitea_org" "team" {
  name        = "platform-case"
  full_name   = "Platform Case"
  description = ""
  visibility  = "public"
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
  for_each = toset(["ada"])
  team_id  = gitea_team.admin.id
  username = each.value
}
