resource "gitea_repository" "source" {
  username       = "alpha"
  name           = "my-api"
  description    = "Takes orders"
  private        = true
  default_branch = "main"

  lifecycle {
    # Whatever becomes of the request, the code stays.
    prevent_destroy = true
    # What people set in Gitea is theirs; the interval of mirrors Gitea has of no other repository.
    ignore_changes = [
      allow_manual_merge, allow_merge_commits, allow_rebase, allow_rebase_explicit, allow_squash_merge, archived,
      autodetect_manual_merge, default_branch, default_merge_style, has_issues, has_projects, has_pull_requests,
      has_wiki, ignore_whitespace_conflicts, migration_mirror_interval, private, website,
    ]
  }
}

resource "gitea_repository_branch_protection" "main" {
  username                        = "alpha"
  name                            = gitea_repository.source.name
  rule_name                       = "main"
  required_approvals              = 1
  dismiss_stale_approvals         = true
  block_merge_on_rejected_reviews = true

  lifecycle {
    prevent_destroy = true
    # What people make stricter stays so.
    ignore_changes = all
  }
}
