resource "gitea_org" "team" {
  name        = "payments"
  full_name   = "Payments"
  description = "Takes money, and gives some back."
  visibility  = "limited"
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
  for_each = toset(["grace"])
  team_id  = gitea_team.admin.id
  username = each.value
}

resource "gitea_team" "maintainer" {
  organisation             = gitea_org.team.name
  name                     = "maintainer"
  permission               = "write"
  can_create_repos         = true
  include_all_repositories = true

  lifecycle {
    # Gitea answers "none" for a permission below admin, and the provider sends that back with any
    # change, which Gitea then refuses: what somebody changes by hand must not stop every apply.
    ignore_changes = all
  }
}

resource "gitea_team_membership" "maintainer" {
  for_each = toset(["ada.lovelace"])
  team_id  = gitea_team.maintainer.id
  username = each.value
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
  for_each = toset(["dennis_r", "linus"])
  team_id  = gitea_team.developer.id
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
  for_each = toset(["guest-1"])
  team_id  = gitea_team.viewer.id
  username = each.value
}
