//! `goldpath generate`: what is made from the Rust types, in this repository.

use super::{WRONG, schema, tell};
use crate::VERSION;
use crate::api::{ORDER, WORDS};
use crate::config::Config;
use crate::file_tree::write_file;
use crate::promise::{PROMISES, Promise, find};
use crate::template::{self, Format};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// A Promise, but for its API.
const PROMISE: &str = include_str!("../../manifests/platform/promise.yaml.j2");
/// What `kubectl apply -k` takes of a Promise's folder.
const KUSTOMIZATION: &str =
    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [promise.yaml]\n";
/// What is behind the plurals of the Promises that people write requests of, in a file that is otherwise written by hand.
const PLURALS: &str = "# of every Promise but the platform's own, by `goldpath generate`";
/// What is above the folders of the Promises.
const FOLDERS: &str = "  # Every Promise, by `goldpath generate`.\n";
/// What is around the table of an API's fields.
const TABLE: [&str; 2] = ["<!-- fields: by `goldpath generate` -->\n", "<!-- end of fields -->\n"];

#[derive(Args)]
pub(super) struct Arguments {
    /// The repository
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    root: PathBuf,
    /// Write nothing, and fail if something is out of date
    #[arg(long)]
    check: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut stale = false;
    let root = &arguments.root;
    // What is whole ours may be missing.
    let mut files = Vec::new();
    for promise in &PROMISES {
        let folder = root.join("promises").join(promise.name);
        for (path, new) in [
            (folder.join("promise.yaml"), promise_text(promise)?),
            (folder.join("kustomization.yaml"), KUSTOMIZATION.to_owned()),
            (root.join("schemas").join(format!("{}.json", promise.name)), schema::text(promise)?),
        ] {
            files.push((fs::read_to_string(&path).unwrap_or_default(), new, path));
        }
        files.extend(regenerate(folder.join("README.md"), |old| with_table(old, promise))?);
    }
    files.extend(regenerate(root.join("manifests/platform/kustomization.yaml"), with_folders)?);
    files.extend(regenerate(root.join("manifests/platform/roles.yaml"), with_plurals)?);
    for (old, new, path) in files {
        if old == new {
            continue;
        }
        stale = true;
        if arguments.check {
            tell(&format!("{} is out of date: run `goldpath generate`\n", path.display()));
        } else {
            write_file(&path, new.as_bytes())?;
            tell(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(if stale && arguments.check { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

/// A file that is partly ours, as it is and as it should be; nothing where it is not there.
fn regenerate(path: PathBuf, new: impl FnOnce(&str) -> Option<String>) -> Result<Option<(String, String, PathBuf)>> {
    let Ok(old) = fs::read_to_string(&path) else { return Ok(None) };
    let new = new(&old).with_context(|| format!("{} has no place for what is generated", path.display()))?;
    Ok(Some((old, new, path)))
}

/// A whole Promise: its Pipelines with their rights, and its API.
fn promise_text(promise: &Promise) -> Result<String> {
    let plurals = |kinds: &[&str], is_of_platform: Option<bool>| {
        let all = kinds.iter().map(|kind| find(kind)).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|refusal| anyhow!(refusal.message))?.into_iter();
        let wanted = all.filter(|promise| is_of_platform.is_none_or(|wanted| promise.is_of_platform == wanted));
        anyhow::Ok(wanted.map(|promise| promise.plural).collect::<Vec<_>>())
    };
    // Where they count, and nowhere else.
    let platform = Config::default().platform.namespace;
    let mut rights = Vec::new();
    for (is_of_platform, namespace) in [(false, "*"), (true, platform.as_str())] {
        let resources = plurals(promise.refers_to, Some(is_of_platform))?;
        rights.extend((!resources.is_empty()).then(|| json!({"namespace": namespace, "resources": resources})));
    }
    let context = json!({
        "name": promise.name,
        "version": VERSION,
        "image": format!("localhost/goldpath:{VERSION}"),
        "rights": rights,
        "used_by": plurals(promise.used_by, None)?,
        "own": {"namespace": if promise.is_of_platform { platform.as_str() } else { "*" }, "resources": [promise.plural]},
    });
    let mut text = template::render(Format::Yaml, "promise", PROMISE, context)? + "  api:\n";
    for line in serde_yaml::to_string(&promise.definition())?.lines() {
        text += &format!("    {line}\n");
    }
    Ok(text)
}

fn with_folders(old: &str) -> Option<String> {
    let (by_hand, _) = old.split_once(FOLDERS)?;
    let folders = PROMISES.iter().map(|promise| format!("  - ../../promises/{}\n", promise.name));
    Some(format!("{by_hand}{FOLDERS}{}", folders.collect::<String>()))
}

fn with_plurals(old: &str) -> Option<String> {
    // What is the platform's own, nobody else writes.
    let plurals: Vec<_> =
        PROMISES.iter().filter(|promise| !promise.is_of_platform).map(|promise| promise.plural).collect();
    let line = |line: &str| match line.ends_with(PLURALS) {
        true => format!("    resources: [{}] {PLURALS}\n", plurals.join(", ")),
        false => format!("{line}\n"),
    };
    old.contains(PLURALS).then(|| old.lines().map(line).collect())
}

fn with_table(old: &str, promise: &Promise) -> Option<String> {
    let [begin, end] = TABLE;
    let (before, rest) = old.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let mut rows = String::from("| field of `spec` | what it is | what it takes | default |\n|---|---|---|---|\n");
    write_rows(&(promise.spec)(), "", &mut rows);
    Some(format!("{before}{begin}{rows}{end}{after}"))
}

/// A row for each field below a mapping, or below the items of a list.
fn write_rows(schema: &Value, path: &str, rows: &mut String) {
    for name in schema[ORDER].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let field = &schema["properties"][name];
        let is_list = field["type"] == "array";
        let (value, path) =
            if is_list { (&field["items"], format!("{path}{name}[]")) } else { (field, format!("{path}{name}")) };
        let mut takes = Vec::new();
        let is_required = schema["required"].as_array().is_some_and(|required| required.contains(&name.into()));
        takes.extend(is_required.then(|| "required".to_owned()));
        let words = [&value[WORDS], if is_list { &field[WORDS] } else { &Value::Null }];
        takes.extend(words.into_iter().filter_map(Value::as_str).map(str::to_owned));
        let choices: Vec<_> = value["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        takes.extend((!choices.is_empty()).then(|| format!("`{}`", choices.join("`, `"))));
        let default = field["default"].as_str().map(|default| format!("`{default}`")).unwrap_or_default();
        let about = field["description"].as_str().unwrap_or_default();
        rows.push_str(&format!("| `{path}` | {about} | {} | {default} |\n", takes.join("; ")));
        write_rows(value, &format!("{path}."), rows);
    }
}
