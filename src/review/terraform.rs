//! Runs the real Terraform, or OpenTofu, on one root module.
