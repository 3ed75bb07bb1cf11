//! The one table of Promises: kind → its API, and what a request of it becomes.
//!
//! A Promise lives in a folder of this one, and in one line of [`PROMISES`].

mod application;
mod environment;
mod team;

use crate::api::without_words;
use crate::cluster::Resource;
use crate::config::Config;
use crate::digest::sha256;
use crate::document::{Node, to_json};
use crate::file_tree::RelativePath;
use crate::known::{Known, Need, Source, Stop};
use crate::names::{Kind, RootModule};
use crate::outputs::{Outputs, Role};
use crate::request::{API_VERSION, Identity, Request};
use crate::status::{DELIVERING, Status};
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Every Promise, by kind.
pub const PROMISES: [Promise; 3] = [team::PROMISE, environment::PROMISE, application::PROMISE];

/// What the platform promises for one kind of request.
#[derive(Debug)]
pub struct Promise {
    /// The name of the Promise and of its folders, as `team`.
    pub name: &'static str,
    /// As `Team`.
    pub kind: &'static str,
    /// The kind's plural, as `teams`, in lower case.
    pub plural: &'static str,
    /// A short name for kubectl.
    pub short_name: &'static str,
    /// What one is, in a sentence.
    pub about: &'static str,
    /// What kubectl shows of one, beside its name and age: texts, by heading.
    pub columns: &'static [(&'static str, &'static str)],
    /// The schema of its spec, with its words.
    pub spec: fn() -> Value,
    /// Every fault of a spec.
    pub check: fn(&Node, &Config) -> Vec<Violation>,
    /// Parses and validates a request's spec, and renders what it asks for: no I/O.
    pub generate: fn(&Request<'_>, &Known, &Config) -> Result<Outputs, Stop>,
    /// The field with the id by which a request is known and referred to, and which is to blame where another has it.
    pub id: &'static str,
    /// The field that names what exists already, so that it cannot be changed.
    pub fixed: &'static str,
    /// The schema of the object's name, where it is more than one.
    pub name_schema: Option<fn() -> Value>,
    /// Whether its requests count only in the platform's own namespace, where nobody else writes.
    pub is_of_platform: bool,
    /// The repositories that its requests have files in.
    pub roles: &'static [Role],
    /// Whether a root module of one is a repository of the request's name, in the organisation of what [`Self::fixed`] is;
    /// else it is that organisation, with all in it.
    pub is_repository: bool,
    /// The folder of the catalog, by what [`Self::fixed`] is, that others have files in for which the request has to stay.
    pub holds: Option<fn(&str) -> String>,
    /// Whether what a request becomes depends on what its status says of before.
    pub remembers: bool,
    /// The kinds that its requests refer to: its Pipelines may list them.
    pub refers_to: &'static [&'static str],
    /// The kinds whose requests cannot be without those of this one that they name: these are not deleted before.
    pub used_by: &'static [&'static str],
    /// How many of those run at once when it has changed, and how many seconds pass from look to look.
    pub pace: fn(&Node) -> (usize, u64),
    /// What an object cannot be without, by its spec and by what its status says of before, whatever else is wrong with it.
    pub names: fn(&Node) -> Vec<Need>,
    /// Whose a file at a path can be, now or as an earlier version rendered it: of a request of this kind. Nothing else is
    /// removed or overwritten on the word of an inventory, which others may edit.
    pub place_of: fn(Role, &RelativePath) -> Option<Place<'_>>,
}

/// What the path of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'p> {
    /// What [`Promise::fixed`] is of the request that has the file; nothing of a claim on a name that any of its kind may make.
    pub fixed: Option<&'p str>,
    /// The folder of the root module that it is in.
    pub module: Option<&'p str>,
}

impl Promise {
    /// Its kind, as requests have it.
    pub fn kind(&self) -> Kind {
        Kind::parse(self.kind).expect("a constant")
    }

    /// The kind as the API server's addresses have it.
    pub fn address(&self) -> Resource {
        let (group, version) = API_VERSION.split_once('/').expect("a constant");
        Resource { group: group.to_owned(), version: version.to_owned(), plural: self.plural.to_owned() }
    }

    /// The kind as kubectl takes it whatever other kinds a cluster has: as `teams.platform.kratix.io`.
    pub fn resource(&self) -> String {
        let Resource { group, plural, .. } = self.address();
        format!("{plural}.{group}")
    }

    /// The CustomResourceDefinition.
    pub fn definition(&self) -> Value {
        let Resource { group, version, plural } = self.address();
        let column = |name: &str, path: &str, r#type: &str| json!({"name": name, "jsonPath": path, "type": r#type});
        let mut columns: Vec<_> = self.columns.iter().map(|(name, path)| column(name, path, "string")).collect();
        columns.push(column("Age", ".metadata.creationTimestamp", "date"));
        let mut spec = without_words((self.spec)());
        // A request without one asks for nothing.
        spec.as_object_mut().map(|spec| spec.remove("default"));
        let mut schema = json!({
            "title": self.kind,
            "description": self.about,
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": spec,
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        });
        if let Some(of_name) = self.name_schema {
            schema["properties"]["metadata"] =
                json!({"type": "object", "properties": {"name": without_words(of_name())}});
        }
        let mut version = json!({
            "name": version,
            "served": true,
            "storage": true,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
        });
        // Names are selectable anyhow.
        if self.id != NAME {
            version["selectableFields"] = json!([{"jsonPath": format!(".{}", self.id)}]);
        }
        let names = json!({
            "kind": self.kind,
            "plural": plural,
            "singular": self.kind.to_lowercase(),
            "shortNames": [self.short_name],
        });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.resource()},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
        })
    }
}

/// The labels of the Destination of this name. By `environment` alone Kratix would take one of its clusters at random.
fn selector(destination: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("goldpath.dev/destination".to_owned(), destination.to_owned())])
}

/// The field with an object's name.
pub const NAME: &str = "metadata.name";

/// The key of a request's status under which it is kept as it was last accepted, for who refers to it.
pub const ACCEPTED: &str = "accepted";

/// The spec of a request that others refer to, as it was last accepted: what it says now may be wrong by what only its own run
/// finds out. Of one that keeps no such thing, or that nobody has run, as it is, if nothing is wrong with that.
pub fn accepted<'n>(object: &'n Node, config: &Config) -> Option<&'n Node> {
    let promise = of(object)?;
    let is_right = |spec: &&Node| (promise.check)(spec, config).is_empty();
    let kept = object.at("status").and_then(|status| status.get(ACCEPTED)).filter(is_right);
    kept.or_else(|| object.get("spec").filter(is_right))
}

/// The digest of what of a request counts for those that refer to it, which they keep: as it was last accepted.
pub fn digest_of(object: &Node, config: &Config) -> String {
    sha256(accepted(object, config).map(to_json).unwrap_or_default().to_string().as_bytes())[..16].to_owned()
}

/// Whether a request has got the id that it asks for: of several in a cluster that ask for one, one does. One that is given as a
/// file has it, as far as that can be known.
pub fn has_its_id(object: &Node) -> bool {
    let conditions = Status::of_object(object.get("status")).conditions;
    let delivered = conditions.iter().find(|condition| condition.r#type == "Delivered");
    // While it is delivered again, the files that have its id are its own.
    object.at("metadata.uid").is_none()
        || delivered.is_some_and(|condition| condition.status == "True" || condition.reason == DELIVERING)
}

/// The kinds whose requests cannot be without a request of another kind that they name.
pub fn users_of(kind: &Kind) -> impl Iterator<Item = &'static Promise> {
    let names: &'static [&str] = find(kind.as_str()).map_or(&[], |promise| promise.used_by);
    names.iter().filter_map(|name| find(name).ok())
}

/// Whether an object cannot be without the request that `need` is about.
pub fn uses(object: &Node, need: &Need) -> bool {
    let names = of(object).map(|promise| (promise.names)(object)).unwrap_or_default();
    names.iter().any(|name| name.kind() == need.kind() && name.id() == need.id())
}

/// Why a request cannot be deleted yet: others than `but`, which go with it, cannot be without it, or nobody can say whether
/// there are any.
pub fn held_by(object: &Node, source: &dyn Source, but: &BTreeSet<Identity>) -> Option<String> {
    const TOLD: usize = 10;
    let own = need_of(object).filter(|own| users_of(own.kind()).next().is_some())?;
    let need = Need::Users { kind: own.kind().clone(), id: own.id().to_owned() };
    let known = match source.look(&BTreeSet::from([need.clone()])) {
        Ok(known) => known,
        Err(error) => return Some(format!("may be used by others, which cannot be looked for ({error:#})")),
    };
    let Ok(users) = known.find(&need) else {
        return Some("may be used by others, which nobody here can look for".to_owned());
    };
    let names = users.iter().filter_map(|object| Some(read(object.as_ref()).ok()?.identity));
    let names: BTreeSet<_> = names.filter(|name| !but.contains(name)).collect();
    let told: Vec<_> = names.iter().take(TOLD).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!told.is_empty()).then(|| format!("is used by {}{more}", told.join(", ")))
}

/// Whether a file of the catalog is one that requests have: an entity, whatever somebody has made of it.
pub fn is_generated(path: &RelativePath) -> bool {
    if !path.is_yaml() {
        return false;
    }
    let has_it = |promise: &Promise, role| (promise.place_of)(role, path).is_some();
    PROMISES.iter().any(|promise| Role::ALL.into_iter().any(|role| role.has_index() && has_it(promise, role)))
}

/// Reads who an object is, of a kind that somebody promises.
///
/// # Errors
/// As [`Request::read`].
pub fn read(object: &Node) -> Result<Request<'_>, Vec<Violation>> {
    Request::read(object, |kind| Ok(find(kind)?.kind()))
}

/// The request that a text names: as [`Identity`] is shown, or as [`Identity::path`] has it in folders, branches, annotations.
///
/// # Errors
/// A text that names none, and a kind that nobody promises.
pub fn identify(text: &str) -> Result<Identity, Refusal> {
    let (kind, rest) = text.split_once([' ', '/']).unwrap_or((text, ""));
    let parts: Vec<_> = std::iter::once(kind).chain(rest.split('/')).collect();
    if parts.len() != 3 || parts.contains(&"") {
        return Err(Refusal::new("identity", format!("{} names no request", quote(text)))
            .help("write it as in `Team default/alpha` or `team/default/alpha`"));
    }
    let by_path = PROMISES.iter().find(|promise| promise.kind.to_lowercase() == kind);
    format!("{} {rest}", by_path.map_or_else(|| find(kind), Ok)?.kind).parse()
}

/// The Promise of a document's kind, if somebody promises it.
pub fn of(document: &Node) -> Option<&'static Promise> {
    find(document.get("kind")?.as_str()?).ok()
}

/// What a document answers to, by its kind and id, if it has them, whatever else is wrong with it.
pub fn need_of(document: &Node) -> Option<Need> {
    let promise = of(document)?;
    Some(Need::Request { kind: promise.kind(), id: document.at(promise.id)?.as_str()?.to_owned() })
}

/// The field with the parent of a request, of its own kind: parents must not form a circle.
pub const PARENT: &str = "spec.parent";

/// Whom a document names as its parent.
pub fn parent_of(document: &Node) -> Option<Need> {
    let kind = of(document)?.kind();
    Some(Need::Request { kind, id: document.at(PARENT)?.as_str()?.to_owned() })
}

/// The repositories that requests of a kind have files in; of one that nobody here knows, any.
pub fn roles_of(request: &Identity) -> &'static [Role] {
    find(request.kind.as_str()).map_or(&Role::ALL, |promise| promise.roles)
}

/// See [`Promise::fixed`].
pub fn fixed_field(request: &Identity) -> &'static str {
    find(request.kind.as_str()).map_or(NAME, |promise| promise.fixed)
}

/// See [`Promise::id`].
pub fn id_field(request: &Identity) -> &'static str {
    find(request.kind.as_str()).map_or(NAME, |promise| promise.id)
}

/// The organisation and the name of the repository that a root module of a request is, if its kind has such.
pub fn repository_of(request: &Identity, module: &RootModule) -> Option<(String, String)> {
    let promise = find(request.kind.as_str()).ok().filter(|promise| promise.is_repository)?;
    let name = request.name.as_str();
    let file = RelativePath::parse(&format!("{module}/main.tf")).ok()?;
    let organization = (promise.place_of)(Role::Infrastructure, &file)?.fixed?;
    module.as_str().ends_with(&format!("/{name}")).then(|| (organization.to_owned(), name.to_owned()))
}

/// The place of a document's kind among all: none refers to one of a later kind.
pub fn rank(document: &Node) -> Option<usize> {
    let kind = of(document)?.kind;
    PROMISES.iter().position(|promise| promise.kind == kind)
}

/// The Promise of a kind.
///
/// # Errors
/// A kind that nobody promises, with the nearest that somebody does.
pub fn find(kind: &str) -> Result<&'static Promise, Refusal> {
    static TABLE: [Promise; PROMISES.len()] = PROMISES;
    let kinds = TABLE.iter().map(|p| p.kind);
    TABLE.iter().find(|p| p.kind == kind).ok_or_else(|| {
        let known: Vec<_> = kinds.clone().map(|k| format!("`{k}`")).collect();
        Refusal::new("kind", format!("{} is not a kind of this platform", quote(kind)))
            .help(format!("use {}", known.join(", ")))
            .suggest(kind, kinds)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::known::Nobody;
    use std::fs;

    #[test]
    fn others_go_by_what_was_accepted() {
        let counts = |spec: &str, status: &str| {
            let text = format!("kind: Environment\nspec: {spec}\nstatus: {status}\n");
            let object = crate::document::parse(text.as_bytes()).unwrap().remove(0);
            accepted(&object, &Config::default()).map(|spec| to_json(spec)["promotesFrom"].clone())
        };
        let cluster = "clusters: [{name: a, stateStore: {kind: GitStateStore, name: a}}]";
        let [new, old] = ["new", "old"].map(|above| format!("{{{cluster}, promotesFrom: {above}}}"));
        // Whether there is such an Environment, only its own run finds out.
        assert_eq!(counts(&new, &format!("{{accepted: {old}}}")), Some("old".into()));
        assert_eq!(counts(&new, "{}"), Some("new".into()));
        assert_eq!(counts(&new, "{accepted: {clusters: 1}}"), Some("new".into()));
        assert_eq!(counts("{clusters: 1}", &format!("{{accepted: {old}}}")), Some("old".into()));
        assert_eq!(counts("{clusters: 1}", "{}"), None);
    }

    #[test]
    fn what_nobody_can_look_for_may_be_in_use() {
        struct Deaf;
        impl Source for Deaf {
            fn look(&self, _: &BTreeSet<Need>) -> anyhow::Result<Known> {
                anyhow::bail!("no answer")
            }
        }
        let held = |kind: &str, source: &dyn Source| {
            let text = format!("kind: {kind}\nmetadata: {{name: a}}\nspec: {{id: a}}\n");
            held_by(&crate::document::parse(text.as_bytes()).unwrap()[0], source, &BTreeSet::new())
        };
        let by = |why: &str| Some(format!("may be used by others, which {why}"));
        assert_eq!(held("Environment", &Deaf), by("cannot be looked for (no answer)"));
        assert_eq!(held("Environment", &Nobody), by("nobody here can look for"));
        assert_eq!(held("Team", &Deaf), None);
    }

    #[test]
    fn every_file_of_a_case_is_one_that_its_kind_can_have() {
        let mut seen = 0;
        for promise in &PROMISES {
            let cases = format!("{}/promises/{}/cases", env!("CARGO_MANIFEST_DIR"), promise.name);
            let cases = fs::read_dir(cases).unwrap().map(|case| case.unwrap().path());
            let files = cases.flat_map(|case| ["request.yaml", "update.yaml"].map(|name| case.join(name)));
            let sources = files.filter_map(|file| crate::document::parse(&fs::read(file).ok()?).ok());
            for request in sources.flatten() {
                let Ok((_, outputs)) = crate::generate_with(&request, &Config::default(), &Nobody) else { continue };
                let kinds = outputs.relations.iter().map(|relation| relation.need.kind().as_str());
                assert!(kinds.into_iter().all(|kind| promise.refers_to.contains(&kind)));
                for (role, tree) in &outputs.repositories {
                    assert_eq!(tree.paths().find(|path| (promise.place_of)(*role, path).is_none()), None);
                    seen += tree.len();
                }
            }
        }
        assert!(seen >= 50, "only {seen} files were seen");
    }
}
