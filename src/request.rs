//! A request as an object: who it is, and its spec still unread.
//!
//! `spec` is read strictly, by its Promise. The rest is read tolerantly, because the API server
//! adds to it (`managedFields`, annotations, finalizers, `status`).

use crate::document::{Node, Value, to_json};
use crate::fields;
use crate::names::{Kind, MetadataKey, NamespaceName, ObjectName, check_label_value};
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The API group and version of every request.
pub const API_VERSION: &str = "platform.kratix.io/v1alpha1";

/// As many bytes as the API server takes in annotations (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Which request: unique in a platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// As `Team`.
    pub kind: Kind,
    /// The namespace of the object.
    pub namespace: NamespaceName,
    /// The name of the object.
    pub name: ObjectName,
}

impl Identity {
    /// `<kind>/<namespace>/<name>` in lower case, as in paths: none of the three can hold a `/`.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.kind.lower(), self.namespace, self.name)
    }

    /// The same as a part of a file's name: none of the three holds `_`, so that no two requests share one.
    pub fn file_name(&self) -> String {
        self.path().replace('/', "_")
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl FromStr for Identity {
    type Err = Refusal;

    /// Reads what `Display` writes, as a trailer of a commit has it, also of a kind that this build does not know.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parts = text.split_once(' ').and_then(|(kind, rest)| Some((kind, rest.split_once('/')?)));
        let Some((kind, (namespace, name))) = parts else {
            return Err(Refusal::new("identity", format!("{} names no request", quote(text)))
                .help("write it as in `Team default/alpha`"));
        };
        Ok(Self {
            kind: Kind::parse(kind)?,
            namespace: NamespaceName::parse(namespace)?,
            name: ObjectName::parse(name)?,
        })
    }
}

/// One request.
pub struct Request<'n> {
    /// Which one.
    pub identity: Identity,
    /// `metadata.generation`: counts the edits of its spec; none where no API server keeps it.
    pub generation: Option<u64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the user asks for, unread.
    pub spec: &'n Node,
    /// What earlier runs said.
    pub status: Option<&'n Node>,
}

impl<'n> Request<'n> {
    /// Reads who an object is, of a kind that `parse_kind` takes.
    ///
    /// # Errors
    /// Every fault of its apiVersion, kind, and metadata, of a missing spec, and of unknown fields beside them.
    pub fn read(
        object: &'n Node,
        parse_kind: impl FnMut(&str) -> Result<Kind, Refusal>,
    ) -> Result<Self, Vec<Violation>> {
        let mut faults = Vec::new();
        let request = fields::read(object, "", &mut faults, |object| {
            object.required("apiVersion", parse_api_version);
            let kind = object.required("kind", parse_kind);
            object.require("metadata");
            let metadata = object.object("metadata", |metadata| {
                let name = metadata.required("name", ObjectName::parse);
                let namespace = metadata.optional("namespace", NamespaceName::parse);
                let generation = metadata.value("generation", |node| Ok(as_count(node)));
                let labels =
                    metadata.texts_by_key("labels", |key| MetadataKey::parse(key).map(drop), check_label_value);
                let check_key = |key: &str| MetadataKey::parse_annotation(key).map(drop);
                let annotations = metadata.texts_by_key("annotations", check_key, |_| Ok(()));
                let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
                if size > MAX_ANNOTATIONS {
                    let refusal = Refusal::new("length", format!("has {size} bytes, keys and values together"));
                    metadata.fault(
                        "metadata.annotations".to_owned(),
                        refusal.help(format!("use at most {MAX_ANNOTATIONS}")),
                    );
                }
                for name in METADATA {
                    metadata.value(name, |node| check_metadata(name, node));
                }
                Some((name?, namespace.unwrap_or_default(), generation.flatten(), labels, annotations))
            });
            object.require("spec");
            let spec = object.value("spec", Ok);
            let status = object.value("status", Ok);
            let (kind, (name, namespace, generation, labels, annotations)) = kind.zip(metadata)?;
            Some(Self {
                identity: Identity { kind, namespace, name },
                generation,
                labels,
                annotations,
                spec: spec?,
                status,
            })
        });
        request.filter(|_| faults.is_empty()).ok_or(faults)
    }
}

/// The fields of `metadata` that the API server and its clients write, and we do not read.
const METADATA: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

fn check_metadata(name: &str, node: &Node) -> Result<(), Refusal> {
    serde_json::from_value::<ObjectMeta>(json!({name: to_json(node)})).map(drop).map_err(|error| {
        let message = format!("is not as Kubernetes has it: {error}");
        Refusal::new("metadata", message).help("leave it out: the API server writes it")
    })
}

fn parse_api_version(text: &str) -> Result<(), Refusal> {
    if text == API_VERSION {
        return Ok(());
    }
    Err(Refusal::new("api-version", format!("{} is not served", quote(text))).help(format!("use `{API_VERSION}`")))
}

fn as_count(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}
