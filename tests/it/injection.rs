//! No text becomes structure: hostile strings in every field and name.
//!
//! Each is either refused, or comes out of the generated YAML and HCL as exactly that value, in
//! exactly as many documents and blocks as a harmless text gives.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::hostile::{HOSTILE, long};
use crate::support::team;
use goldpath::config::Config;
use goldpath::document;
use goldpath::outputs::{Outputs, Role, Unrendered};
use hcl::Body;
use hcl::eval::{Context, Evaluate};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where a text may stand in a request, as JSON pointers.
const FIELDS: [&str; 16] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/spec/id",
    "/spec/name",
    "/spec/email",
    "/spec/description",
    "/spec/parent",
    "/spec/members/0/username",
    "/spec/members/0/role",
    "/spec/quota/cpu",
    "/spec/quota/memory",
    "/spec/quota/storage",
    "/spec/visibility",
    "/spec/allowNetworkFrom/0",
];

/// A request in which no text is a part of another, nor of what is generated.
fn request() -> Value {
    let spec = json!({
        "id": "id0", "name": "Name0", "email": "mail0@company.com", "description": "Text0", "parent": "parent0",
        "members": [{"username": "user0", "role": "viewer"}],
        "quota": {"cpu": "71", "memory": "72Gi", "storage": "73Ti", "pods": 7},
        "visibility": "public", "allowNetworkFrom": ["peer0"],
    });
    team(json!({"name": "object0", "namespace": "space0"}), spec)
}

/// What a request becomes; nothing where it is refused.
fn generate(request: &Value) -> Option<Outputs> {
    let source = escaped(request);
    let documents = document::parse(source.as_bytes()).unwrap();
    match goldpath::generate_with(&documents[0], &Config::default(), &goldpath::known::Nobody) {
        Ok((_, outputs)) => Some(outputs),
        Err(Unrendered::Wrong(violations)) => {
            assert!(!violations.is_empty());
            None
        }
        Err(Unrendered::Unknown(error)) => panic!("{error:#}"),
        Err(Unrendered::Broken(error)) => panic!("{error}: {request}"),
    }
}

/// JSON in ASCII: YAML takes some characters only escaped. Surrogates are JSON's, not YAML's.
fn escaped(request: &Value) -> String {
    let escape = |c: char| match u32::from(c) {
        0x20..0x7F | 0xA => c.to_string(),
        code @ 0..0x1_0000 => format!("\\u{code:04x}"),
        _ => c.to_string(),
    };
    request.to_string().chars().map(escape).collect()
}

/// Every text in the outputs, in order, with how many documents and blocks there are.
fn shape(outputs: &Outputs) -> (Vec<String>, usize) {
    let (mut texts, mut structures) = (Vec::new(), 0);
    let catalog = outputs.repositories[&Role::Catalog].iter();
    for (path, content) in outputs.manifests.iter().chain(catalog) {
        texts.push(path.to_string());
        for document in serde_yaml::Deserializer::from_slice(content) {
            structures += 1;
            collect(&serde_json::to_value(serde_yaml::Value::deserialize(document).unwrap()).unwrap(), &mut texts);
        }
    }
    for (path, content) in outputs.repositories[&Role::Infrastructure].iter() {
        texts.push(path.to_string());
        let body: Body = hcl::parse(std::str::from_utf8(content).unwrap()).unwrap_or_else(|e| panic!("{path}: {e}"));
        collect_hcl(&body, &mut texts, &mut structures);
    }
    (texts, structures)
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            texts.push(key.clone());
            collect(value, texts);
        }),
        Value::String(text) => texts.push(text.clone()),
        other => texts.push(other.to_string()),
    }
}

fn collect_hcl(body: &Body, texts: &mut Vec<String>, structures: &mut usize) {
    for attribute in body.attributes() {
        texts.push(attribute.key().to_owned());
        // A literal evaluates to its value; a reference to another resource stays as it is written.
        match attribute.expr().evaluate(&Context::new()) {
            Ok(value) => collect(&serde_json::to_value(value).unwrap(), texts),
            Err(_) => texts.push(attribute.expr().to_string()),
        }
    }
    for block in body.blocks() {
        *structures += 1;
        texts.push(block.identifier().to_owned());
        texts.extend(block.labels().iter().map(|label| label.as_str().to_owned()));
        collect_hcl(block.body(), texts, structures);
    }
}

#[test]
fn a_hostile_text_is_refused_or_comes_out_as_itself() {
    let harmless = request();
    let (expected, structures) = shape(&generate(&harmless).unwrap());
    let long = long();
    let (mut refused, mut kept) = (0, 0);
    for field in FIELDS {
        let before = harmless.pointer(field).unwrap().as_str().unwrap();
        for text in
            HOSTILE.iter().copied().chain([long.as_str(), "../../etc", "/etc/passwd", "..", ".git/config", "a/b"])
        {
            let mut request = harmless.clone();
            *request.pointer_mut(field).unwrap() = text.into();
            let Some(outputs) = generate(&request) else {
                refused += 1;
                continue;
            };
            kept += 1;
            let (actual, count) = shape(&outputs);
            assert_eq!(count, structures, "{field}: {text:?}");
            // The line break at the end of a line is not of it, and an empty description is as good as none.
            let is_line = field.ends_with("/name") || field.ends_with("/description");
            let text = if is_line { text.strip_suffix('\n').unwrap_or(text) } else { text };
            if text.is_empty() {
                continue;
            }
            let expected: Vec<_> = expected.iter().map(|line| line.replace(before, text)).collect();
            // A user's name is a key in lower case.
            let is_name = field.ends_with("/username");
            let plain = |lines: Vec<String>| match is_name {
                true => lines.iter().map(|line| line.to_lowercase()).collect(),
                false => lines,
            };
            let (expected, actual) = (plain(expected), plain(actual));
            let (missing, extra) = (without(&expected, &actual), without(&actual, &expected));
            assert!(missing.is_empty() && extra.is_empty(), "{field}: {text:?}: {missing:?} became {extra:?}");
        }
    }
    assert!(HOSTILE.len() >= 60 && refused > 1000 && kept > 100, "{refused} refused, {kept} kept");
}

/// What of `some` is not in `others`, each as often as it is there more.
fn without(some: &[String], others: &[String]) -> Vec<String> {
    let mut others = others.to_vec();
    let mut rest = some.to_vec();
    rest.retain(|text| match others.iter().position(|other| other == text) {
        Some(index) => {
            others.swap_remove(index);
            false
        }
        None => true,
    });
    rest
}

#[test]
fn names_that_are_paths_are_refused() {
    for field in [
        "/metadata/name",
        "/metadata/namespace",
        "/spec/id",
        "/spec/parent",
        "/spec/members/0/username",
        "/spec/allowNetworkFrom/0",
    ] {
        for path in ["..", ".", "../x", "a/../b", "/abs", "a/b", "a\\b", ".git", "a\0b", "C:", "%2e%2e", "~root", "-rf"]
        {
            let mut request = request();
            *request.pointer_mut(field).unwrap() = path.into();
            assert!(generate(&request).is_none(), "{field}: {path:?}");
        }
    }
}
