output "repository_url" {
  value = "https://gitea.example.com/alpha/my-api"
}
