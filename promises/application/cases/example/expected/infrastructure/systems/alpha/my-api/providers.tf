terraform {
  required_version = ">= 1.5.0"

  required_providers {
    gitea = {
      source  = "go-gitea/gitea"
      version = ">= 0.8.1, < 1.0.0"
    }
  }
}

# Address and credentials come from the environment: GITEA_BASE_URL, GITEA_TOKEN.
provider "gitea" {}
