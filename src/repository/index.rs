//! The catalog's index: the Location that lists every file with entities.
//!
//! Backstage's reader for Gitea has no wildcards. The list is a pure function of the tree, so that it is right after every
//! commit, whoever wrote the files.

use crate::digest::hex;
use crate::file_tree::RelativePath;
use crate::promise::is_generated;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// By this name we know an index of ours; it is what Backstage shows it by.
const NAME: &str = "goldpath";
/// The annotation with the digest of the files that were looked into.
const LOOKED_INTO: &str = "goldpath.dev/looked-into";
/// The longest file that is looked into for entities, in bytes. Nobody writes one by hand that is longer.
pub const MAX_BYTES: usize = 1 << 20;

/// An index of ours.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    /// So that one file that is gone, or not there yet, does not hold up all others: Backstage
    /// reads the index and what it lists one after the other.
    presence: String,
    targets: Vec<String>,
}

/// Whether a file has to be looked into: YAML that no request of ours has, and none of whose names begins with a dot.
pub fn may_be_entity(path: &RelativePath) -> bool {
    path.is_yaml() && !path.is_hidden() && !is_generated(path)
}

/// Whether a file is generated, or may be an entity and is not too long: its length is asked for only where it counts.
///
/// # Errors
/// That of `length`.
pub fn is_possible<E>(path: &RelativePath, length: impl FnOnce() -> Result<usize, E>) -> Result<bool, E> {
    Ok(is_generated(path) || may_be_entity(path) && length()? <= MAX_BYTES)
}

/// Whether a file that [`may_be_entity`] holds one: a document of [Backstage's
/// format](https://backstage.io/docs/features/software-catalog/descriptor-format) that is no index of ours. What is broken
/// and says that it is one counts, so that Backstage tells what is wrong with it.
pub fn holds_entity(content: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        api_version: Option<String>,
        kind: Option<String>,
    }
    if content.len() > MAX_BYTES || Index::read(content).is_some() {
        return false;
    }
    let is_backstage = |version: &str| {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        group == "backstage.io" || group.ends_with(".backstage.io")
    };
    let Ok(text) = std::str::from_utf8(content) else { return false };
    let mut is_broken = false;
    for document in serde_yaml::Deserializer::from_str(text) {
        match Document::deserialize(document) {
            Ok(Document { api_version: Some(version), kind: Some(_) }) if is_backstage(&version) => return true,
            Ok(_) => {}
            // It would say so for ever.
            Err(_) => {
                is_broken = true;
                break;
            }
        }
    }
    let version = |line: &str| Some(line.strip_prefix("apiVersion:")?.trim_matches([' ', '\t', '"', '\'']).to_owned());
    is_broken && text.lines().filter_map(version).any(|version| is_backstage(&version))
}

impl Index {
    /// Reads what is at the index's path; nothing where it is not ours, so that nothing is lost that somebody wrote by hand
    /// when it is written again.
    pub fn read(content: &[u8]) -> Option<Self> {
        let index: Self = serde_yaml::from_slice(content).ok()?;
        let is_ours = index.metadata.name == NAME && index.spec.targets.iter().all(|target| target.starts_with("./"));
        is_ours.then_some(index)
    }

    /// The paths of the files that the index at `path` lists, if it was written when the files to look into were these.
    pub fn listed(&self, path: &RelativePath, looked_into: &str) -> Option<BTreeSet<RelativePath>> {
        let up = up(path);
        let listed = |target: &String| RelativePath::parse(target.strip_prefix("./")?.strip_prefix(&up)?).ok();
        (self.metadata.annotations.get(LOOKED_INTO)? == looked_into)
            .then(|| self.spec.targets.iter().filter_map(listed).collect())
    }
}

/// The way from the folder of the index to the outermost.
fn up(index: &RelativePath) -> String {
    "../".repeat(index.folders().count())
}

/// The digest of the files that have to be looked into, by path and git's id of their content; nothing for none.
pub fn digest<'f>(files: impl Iterator<Item = (&'f RelativePath, &'f String)>) -> String {
    let mut digest = None;
    for (path, id) in files {
        let digest = digest.get_or_insert_with(|| ring::digest::Context::new(&ring::digest::SHA256));
        digest.update(format!("{id} {path}\n").as_bytes());
    }
    digest.map_or_else(String::new, |digest| hex(digest.finish().as_ref()))
}

/// The index of these files with entities, sorted, which lists them by their way from its own folder.
///
/// # Errors
/// None that is known: what the serialiser says.
pub fn build<'a>(
    index: &RelativePath,
    entities: impl Iterator<Item = &'a RelativePath>,
    looked_into: &str,
) -> anyhow::Result<Vec<u8>> {
    let up = up(index);
    let looked_into = Some(looked_into).filter(|digest| !digest.is_empty());
    let location = Index {
        api_version: "backstage.io/v1alpha1".to_owned(),
        kind: "Location".to_owned(),
        metadata: Metadata {
            name: NAME.to_owned(),
            description: "Every entity of this repository; built again with every commit of Goldpath".to_owned(),
            annotations: looked_into.map(|digest| (LOOKED_INTO.to_owned(), digest.to_owned())).into_iter().collect(),
        },
        spec: Spec { presence: "optional".to_owned(), targets: entities.map(|path| format!("./{up}{path}")).collect() },
    };
    Ok(serde_yaml::to_string(&location)?.into_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    #[test]
    fn what_a_file_holds_tells_whether_it_is_listed() {
        for yes in [
            "apiVersion: backstage.io/v1alpha1\nkind: Group\n",
            "# by hand\r\napiVersion: 'backstage.io/v1beta1'\r\nkind: API\r\n",
            "{\"apiVersion\": \"backstage.io/v1alpha1\", \"kind\": \"User\"}",
            "apiVersion: scaffolder.backstage.io/v1beta3\nkind: Template\n",
            "a: 1\n---\nx: &x backstage.io/v1alpha1\napiVersion: *x\nkind: Group\n",
            // Broken: Backstage says so.
            "apiVersion: backstage.io/v1alpha1\nkind: Group\n  name: x\n",
        ] {
            assert!(holds_entity(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "openapi: 3.1.0\npaths: {}\n",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    apiVersion: backstage.io/v1alpha1\n    kind: Group\n",
            "apiVersion: backstage.io/v1alpha1\n",
            "apiVersion: evilbackstage.io/v1\nkind: Group\n",
            "- apiVersion: backstage.io/v1alpha1\n  kind: Group\n",
            "openapi: [\n",
        ] {
            assert!(!holds_entity(no.as_bytes()), "{no}");
        }
        let bomb = format!("a: &a [x]\n{}", "b: [*a, *a]\n".repeat(3)) + &" ".repeat(MAX_BYTES);
        assert!(!holds_entity(bomb.as_bytes()));
    }

    #[test]
    fn an_index_of_ours_is_known_and_is_no_entity() {
        let built = build(&path("catalog-info.yaml"), [path("teams/a.yaml")].iter(), "").unwrap();
        assert!(Index::read(&built).is_some() && !holds_entity(&built));
        let text = String::from_utf8(built).unwrap();
        for (old, new) in [
            ("name: goldpath", "name: company"),
            ("./teams/a.yaml", "https://example.com/all.yaml"),
            ("presence: optional", "presence: optional\n  type: url"),
            ("kind: Location", "kind: Location\n---\nkind: Component"),
        ] {
            assert!(text.contains(old));
            assert!(Index::read(text.replace(old, new).as_bytes()).is_none(), "{new}");
        }
        let index = path("a/b/index.yaml");
        let below = build(&index, [path("teams/a.yaml")].iter(), "12").unwrap();
        assert!(String::from_utf8(below.clone()).unwrap().contains("- ./../../teams/a.yaml"));
        assert_eq!(Index::read(&below).unwrap().listed(&index, "12"), Some(BTreeSet::from([path("teams/a.yaml")])));
        assert_eq!(Index::read(&below).unwrap().listed(&index, "13"), None, "a file has changed since");
        assert!(Index::read(&below).is_some());
    }

    #[test]
    fn yaml_that_is_not_hidden_is_looked_into() {
        for yes in ["a.yaml", "b/c.yml", "teams/x/y.yaml"] {
            assert!(may_be_entity(&path(yes)), "{yes}");
        }
        for no in ["a.json", ".a.yaml", ".gitea/workflows/ci.yaml", "b/.c/d.yml", "teams/alpha.yaml", "yaml"] {
            assert!(!may_be_entity(&path(no)), "{no}");
        }
        assert!(is_generated(&path("teams/alpha.yaml")));
    }
}
