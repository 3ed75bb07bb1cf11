//! `catalog-info.yaml`: the Location that lists every entity file.
//!
//! Backstage's reader for Gitea has no wildcards. The list is a pure function of the tree's
//! paths, so that it is right after every commit, whoever wrote the files.

use crate::file_tree::RelativePath;
use serde::Serialize;

/// The index's own path: where Backstage's discovery looks.
pub const PATH: &str = "catalog-info.yaml";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    description: &'a str,
}

#[derive(Serialize)]
struct Spec {
    /// So that one file that is gone, or not there yet, does not hold up all others: Backstage
    /// reads the index and what it lists one after the other.
    presence: &'static str,
    targets: Vec<String>,
}

/// Whether a path is an entity file: YAML in a folder, none of whose names begins with a dot.
pub fn is_entity(path: &str) -> bool {
    path.contains('/') && path.ends_with(".yaml") && !path.split('/').any(|segment| segment.starts_with('.'))
}

/// The index of a tree that has these entity files, sorted.
///
/// # Errors
/// None that is known: what the serialiser says.
pub fn build<'a>(entities: impl Iterator<Item = &'a RelativePath>) -> anyhow::Result<Vec<u8>> {
    let location = Location {
        api_version: "backstage.io/v1alpha1",
        kind: "Location",
        metadata: Metadata {
            name: "goldpath",
            description: "Every entity of this repository; built again with every commit of Goldpath",
        },
        spec: Spec { presence: "optional", targets: entities.map(|path| format!("./{path}")).collect() },
    };
    Ok(serde_yaml::to_string(&location)?.into_bytes())
}
