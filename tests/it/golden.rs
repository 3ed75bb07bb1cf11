//! Every case of every Promise: whole trees, byte for byte.
//!
//! A case is a folder with `request.yaml`, which is run first, perhaps `update.yaml`, run next, or `delete.yaml`, run with
//! `--delete`; with `platform.yaml`, if there is one, as the configuration, and the folder `with` beside them, if there is
//! one, as what they may refer to. `expected/` is what the workspace holds in the end, what the command printed, and what the
//! commits say. `BLESS=1 cargo test golden` writes it anew; a person reads the difference.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::{binary, graft, messages_of, transcript, tree_of};
use goldpath::file_tree::{FileTree, RelativePath};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_case_gives_exactly_what_is_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 15, "only {} cases were found", cases.len());
    for case in &cases {
        let actual = run(case);
        let expected_folder = case.join("expected");
        if bless {
            let mut tree = FileTree::default();
            for (path, content) in &actual {
                tree.insert(RelativePath::parse(path).unwrap(), content.as_slice());
            }
            tree.replace(&expected_folder).unwrap();
        }
        let mut expected = BTreeMap::new();
        graft(&mut expected, ".", &FileTree::read(&expected_folder).unwrap());
        let expected: BTreeMap<_, _> = expected.into_iter().map(|(p, c)| (p[2..].to_owned(), c)).collect();
        for path in expected.keys().chain(actual.keys().filter(|p| !expected.contains_key(*p))) {
            if expected.get(path) != actual.get(path) {
                wrong.push(difference(&case.join("expected").join(path), expected.get(path), actual.get(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{} files differ; BLESS=1 writes them anew", wrong.join("\n"), wrong.len());
}

fn cases() -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for promise in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/promises")).unwrap() {
        for case in fs::read_dir(promise.unwrap().path().join("cases")).unwrap() {
            cases.push(case.unwrap().path());
        }
    }
    cases.sort();
    cases
}

/// Runs a case and gives all that it left, by path.
fn run(case: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    for (file, arguments) in [("request.yaml", &[][..]), ("update.yaml", &[]), ("delete.yaml", &["--delete"])] {
        if !case.join(file).exists() {
            assert!(file != "request.yaml", "{} has no request.yaml", case.display());
            continue;
        }
        fs::copy(case.join(file), folder.path().join(file)).unwrap();
        let mut command = binary("goldpath");
        command.current_dir(folder.path()).args(["run", "--workspace", "workspace", "-f", file]).args(arguments);
        if case.join("platform.yaml").exists() {
            command.arg("--config").arg(case.join("platform.yaml"));
        }
        if case.join("with").exists() {
            command.arg("--with").arg(case.join("with"));
        }
        let output = command.output().unwrap();
        printed += &format!("$ goldpath run -f {file} {}\n{}", arguments.join(" "), transcript(&output));
    }
    let workspace = folder.path().join("workspace");
    let mut actual = BTreeMap::from([("printed.txt".to_owned(), printed.into_bytes())]);
    for role in ["catalog", "infrastructure"] {
        let repository = workspace.join(format!("{role}.git"));
        graft(&mut actual, role, &tree_of(&repository));
        let messages = messages_of(&repository);
        if !messages.is_empty() {
            actual.insert(format!("{role}.commits.txt"), messages.join("\n\n").into_bytes());
        }
    }
    graft(&mut actual, "requests", &FileTree::read(&workspace.join("requests")).unwrap());
    // The request itself, and what the repositories hold too, would only stand here twice; the note says where it came from.
    let is_told = |path: &str| !path.contains("/input/") && !path.contains("/metadata/goldpath/");
    actual.retain(|path, _| is_told(path) && !path.ends_with("/source"));
    actual
}

fn difference(path: &Path, expected: Option<&Vec<u8>>, actual: Option<&Vec<u8>>) -> String {
    let text = |bytes: Option<&Vec<u8>>| String::from_utf8_lossy(bytes.map_or(&[][..], |b| b)).into_owned();
    let (old, new) = (text(expected), text(actual));
    let diff = similar::TextDiff::from_lines(&old, &new);
    let (from, to) = (expected.map_or("absent", |_| "expected"), actual.map_or("absent", |_| "actual"));
    format!("{}\n{}", path.display(), diff.unified_diff().header(from, to))
}
