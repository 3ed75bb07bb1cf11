//! `goldpath schema`: a Promise's API as JSON Schema, by which editors complete and check requests.
//!
//! It knows what the API server's schema knows; the rules between fields, and those of the step, are `goldpath validate`'s.

use super::print;
use crate::api::without_words;
use crate::promise::{PROMISES, Promise};
use crate::request::API_VERSION;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    /// The kind of request, as `Team`
    #[arg(value_parser = find)]
    kind: &'static str,
}

fn find(kind: &str) -> Result<&'static str, String> {
    let is_it = |promise: &&Promise| promise.kind.eq_ignore_ascii_case(kind);
    let known = || PROMISES.iter().map(|promise| promise.kind).collect::<Vec<_>>().join(", ");
    PROMISES.iter().find(is_it).map(|promise| promise.kind).ok_or_else(|| format!("the kinds are {}", known()))
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let promise = PROMISES.iter().find(|promise| promise.kind == arguments.kind).context("it was found before")?;
    print(&text(promise)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The JSON Schema of a Promise's requests ([draft 7](https://json-schema.org/draft-07), which editors know).
pub(super) fn text(promise: &Promise) -> Result<String> {
    let name = json!({"type": "string", "maxLength": 253});
    let metadata =
        json!({"type": "object", "required": ["name"], "properties": {"name": name, "namespace": {"type": "string"}}});
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": promise.kind,
        "description": promise.about,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": promise.kind},
            "metadata": metadata,
            "spec": json_schema(&without_words((promise.spec)())),
            "status": true,
        },
        "additionalProperties": false,
    });
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// A structural schema of Kubernetes as JSON Schema.
fn json_schema(structural: &Value) -> Value {
    let Value::Object(fields) = structural else {
        return match structural {
            Value::Array(items) => items.iter().map(json_schema).collect(),
            _ => structural.clone(),
        };
    };
    let is_amount = fields.get("x-kubernetes-int-or-string").is_some_and(|value| value == true);
    let mut schema = Map::new();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with("x-kubernetes-")) {
        let value = match (name.as_str(), value) {
            ("pattern", Value::String(pattern)) => pattern_of_editors(pattern).into(),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, property)| (name.clone(), json_schema(property))).collect()
            }
            (_, value) => json_schema(value),
        };
        schema.insert(name.clone(), value);
    }
    let is_open = fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|value| value == true);
    if schema.contains_key("properties") && !is_open {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    if is_amount {
        let mut text = Map::from_iter([("type".to_owned(), "string".into())]);
        for name in ["pattern", "maxLength"] {
            text.extend(schema.remove(name).map(|value| (name.to_owned(), value)));
        }
        schema.insert("anyOf".to_owned(), json!([{"type": "integer", "minimum": 0}, text]));
    }
    Value::Object(schema)
}

/// RE2's `\x{2028}` as JavaScript has it.
fn pattern_of_editors(pattern: &str) -> String {
    let mut parts = pattern.split(r"\x{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap_or((part, ""));
        text += &format!("\\u{code:0>4}{rest}");
    }
    text
}
