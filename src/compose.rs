//! Compose files, as docker compose reads them (<https://github.com/compose-spec/compose-spec>). Nothing here knows of Kubernetes.

pub mod env_file;
pub mod interpolation;
