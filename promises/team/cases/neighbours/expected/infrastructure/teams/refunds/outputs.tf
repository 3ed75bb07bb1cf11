output "organization_name" {
  value = gitea_org.team.name
}

output "organization_id" {
  value = gitea_org.team.id
}

output "organization_url" {
  value = "https://gitea.example.com/refunds"
}
