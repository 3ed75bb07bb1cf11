//! What the tests share: the real binaries, and trees to compare.

use goldpath::file_tree::{FileTree, RelativePath};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

#[path = "gitea.rs"]
pub mod gitea;
#[path = "hostile.rs"]
pub mod hostile;
#[path = "load.rs"]
pub mod load;
#[path = "platform.rs"]
pub mod platform;
#[path = "proxy.rs"]
pub mod proxy;
#[path = "review.rs"]
pub mod review;
#[path = "site.rs"]
pub mod site;

/// The time of every commit and status in the tests.
pub const TIME: &str = "1700000000";

/// How much a test does: the whole of it with `scripts/run-integration-tests.sh --all`, else a part that CI has time for.
pub fn whole_or(whole: usize, part: usize) -> usize {
    if std::env::var_os("GOLDPATH_TESTS").is_some_and(|tests| tests == "all") { whole } else { part }
}

/// The program `goldpath`, with `goldpath-review` beside it, which Cargo builds for no test of another package.
pub fn program() -> PathBuf {
    static REVIEW: LazyLock<()> = LazyLock::new(|| {
        let folder = env!("CARGO_MANIFEST_DIR");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--quiet", "--bin", "goldpath-review"]).current_dir(folder);
        // What Cargo tells a test of its package makes build scripts run again, and all that waits for them.
        let is_told = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|begin| name.starts_with(begin));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_told)) {
            build.env_remove(name);
        }
        let build = build.output();
        let build = build.expect("cargo starts");
        assert!(build.status.success(), "{}", transcript(&build));
    });
    LazyLock::force(&REVIEW);
    assert_cmd::cargo::cargo_bin("goldpath")
}

/// Our program, called by the name of the command or of a step, with nothing of this machine's environment that it reads.
pub fn binary(name: &str) -> Command {
    let mut command = Command::new(program());
    command.arg0(name);
    for variable in ["GOLDPATH_CONFIG", "KRATIX_WORKFLOW_ACTION", "KRATIX_DRY_RUN", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.env("SOURCE_DATE_EPOCH", TIME);
    command
}

/// A request for a Team, with this and more in its metadata.
pub fn team(metadata: Value, spec: Value) -> Value {
    json!({"apiVersion": "platform.kratix.io/v1alpha1", "kind": "Team", "metadata": metadata, "spec": spec})
}

/// The same as people write it, whose spec is of one line.
pub fn team_text(name: &str, spec: &str) -> String {
    format!("apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

/// Looks until there is something, or panics when it is too late, with what was waited for.
pub fn until<T>(seconds: u64, what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {}", what());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// What a command printed and how it ended, as a person sees it.
pub fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    format!("{}{}exit {}\n", text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// The files of a repository's branch `main`, by path; none while it has no commit.
pub fn tree_of(repository: &Path) -> FileTree {
    let mut files = FileTree::default();
    let repository = git2::Repository::open_bare(repository).expect("a repository");
    let Ok(head) = repository.find_reference("refs/heads/main") else {
        return files;
    };
    let tree = head.peel_to_tree().expect("a tree");
    tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(git2::ObjectType::Blob) {
            let path = RelativePath::parse(&format!("{folder}{}", entry.name().expect("UTF-8"))).expect("a path");
            files.insert(path, repository.find_blob(entry.id()).expect("a blob").content());
        }
        git2::TreeWalkResult::Ok
    })
    .expect("a tree that can be walked");
    files
}

/// Every commit message of a repository's branch `main`, oldest first.
pub fn messages_of(repository: &Path) -> Vec<String> {
    let repository = git2::Repository::open_bare(repository).expect("a repository");
    let mut walk = repository.revwalk().expect("a walk");
    if walk.push_ref("refs/heads/main").is_err() {
        return Vec::new();
    }
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE).expect("an order");
    walk.map(|id| repository.find_commit(id.expect("an id")).expect("a commit").message().expect("UTF-8").to_owned())
        .collect()
}

/// Adds a tree to another, below a folder.
pub fn graft(into: &mut BTreeMap<String, Vec<u8>>, folder: &str, tree: &FileTree) {
    into.extend(tree.iter().map(|(path, content)| (format!("{folder}/{path}"), content.to_vec())));
}
