//! The command `goldpath`: what people and programs get.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::{binary, tree_of};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = include_str!("../../promises/team/resource-request.yaml");

fn goldpath(folder: &Path, arguments: &[&str]) -> Output {
    binary("goldpath").current_dir(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_second_run_is_unchanged_and_a_deletion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE).unwrap();
    let run = |extra: &[&str]| {
        let output = goldpath(folder.path(), &[&["run", "-f", "team.yaml"], extra].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let first = run(&["--diff"]);
    assert!(first.contains("+  name: \"team-alpha\"\n") && first.contains("committed"), "{first}");
    let second = run(&["--diff"]);
    assert!(second.starts_with("Team default/example-team: unchanged\n") && !second.contains("diff --git"), "{second}");
    let deleted = run(&["--delete"]);
    assert!(deleted.contains("    - teams/team-alpha.yaml\n"), "{deleted}");
    assert_eq!(tree_of(&folder.path().join(".goldpath/infrastructure.git")).len(), 0);
    assert_eq!(
        tree_of(&folder.path().join(".goldpath/catalog.git")).paths().map(ToString::to_string).collect::<Vec<_>>(),
        ["catalog-info.yaml"]
    );
    assert!(!folder.path().join(".goldpath/requests/team/default/example-team").exists());
    assert!(run(&["--delete"]).contains("unchanged"));
}

#[test]
fn requests_come_from_files_folders_and_stdin() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("teams")).unwrap();
    let other = |id: &str| EXAMPLE.replace("example-team", id).replace("team-alpha", id);
    fs::write(folder.path().join("teams/b.yml"), other("b")).unwrap();
    fs::write(folder.path().join("teams/a.yaml"), format!("{}---\n{}", other("a1"), other("a2"))).unwrap();
    fs::write(folder.path().join("teams/notes.txt"), "not a request").unwrap();
    fs::write(folder.path().join("c.yaml"), other("c")).unwrap();
    let mut child = binary("goldpath")
        .current_dir(folder.path())
        .args(["run", "--output", "json", "-f", "teams", "c.yaml", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(other("d").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = reports.as_array().unwrap().iter().map(|r| r["request"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a1", "a2", "b", "c", "d"]);
    let first = &reports[0];
    assert_eq!(first["outcome"], "committed");
    assert_eq!((&first["manifests"]["files"], first["manifests"]["changes"].as_array().unwrap().len()), (&6.into(), 6));
    assert_eq!(first["repositories"]["catalog"]["commit"].as_str().unwrap().len(), 40);
    assert_eq!(
        first["repositories"]["catalog"]["changes"],
        serde_json::json!([{"path": "teams/a1.yaml", "kind": "added"}])
    );
}

#[test]
fn a_wrong_request_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), EXAMPLE.replace("team-alpha", "api")).unwrap();
    fs::write(folder.path().join("b.yaml"), EXAMPLE).unwrap();
    let output = goldpath(folder.path(), &["run", "-f", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("Team default/example-team: committed\n"));
    assert!(
        stderr(&output).starts_with("error[reserved]: `api` is a name that Gitea reserves\n --> ./a.yaml:7:7\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn programs_hear_of_wrong_requests_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), EXAMPLE.replace("team-alpha", "api")).unwrap();
    fs::write(folder.path().join("b.yaml"), "a: [").unwrap();
    fs::write(folder.path().join("c.yaml"), EXAMPLE).unwrap();
    let output = goldpath(folder.path(), &["run", "-f", ".", "--output", "json"]);
    let entries: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["wrong", "wrong", "committed"]);
    assert_eq!((&entries[0]["faults"][0]["rule"], &entries[0]["faults"][0]["line"]), (&"reserved".into(), &7.into()));
    assert_eq!(
        (&entries[1]["faults"][0]["rule"], &entries[1]["faults"][0]["file"]),
        (&"unreadable".into(), &"./b.yaml".into())
    );
}

#[test]
fn exit_codes_tell_clean_from_faulty_from_misused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), EXAMPLE).unwrap();
    fs::write(folder.path().join("bad.yaml"), EXAMPLE.replace("email", "emial")).unwrap();
    let code = |arguments: &[&str]| goldpath(folder.path(), arguments).status.code();
    assert_eq!(code(&["validate", "-f", "good.yaml"]), Some(0));
    assert_eq!(code(&["validate", "-f", "bad.yaml"]), Some(1));
    assert_eq!(code(&["run", "-f", "bad.yaml", "good.yaml"]), Some(1));
    assert_eq!(code(&["validate", "-f", "absent.yaml"]), Some(2));
    assert_eq!(code(&["run", "-f", "bad.yaml", "--config", "absent.yaml"]), Some(2));
    fs::write(folder.path().join("config.yaml"), "repositories: {catalog: {url: /nowhere/catalog.git}}").unwrap();
    assert_eq!(code(&["run", "-f", "bad.yaml", "good.yaml", "--config", "config.yaml"]), Some(2));
    assert_eq!(code(&["validate"]), Some(2));
    assert_eq!(code(&["validate", "--recursive"]), Some(2));
    assert_eq!(code(&["validate", "-f", "good.yaml", "--frobnicate"]), Some(2));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn faults_for_programs_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.yaml"), EXAMPLE.replace("email", "emial")).unwrap();
    let output = goldpath(folder.path(), &["validate", "-f", "bad.yaml", "--output", "json"]);
    let faults: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(faults.as_array().unwrap().len(), 1);
    let fault = &faults[0];
    assert_eq!((&fault["file"], &fault["line"], &fault["column"]), (&"bad.yaml".into(), &9.into(), &3.into()));
    assert_eq!(
        (&fault["path"], &fault["rule"], &fault["suggestion"]),
        (&"spec.emial".into(), &"unknown-field".into(), &"email".into())
    );
    assert_eq!(stderr(&output), "1 fault in 1 request\n");
}

#[test]
fn the_same_object_twice_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("twice.yaml"), format!("{EXAMPLE}---\n{EXAMPLE}")).unwrap();
    let output = goldpath(folder.path(), &["validate", "-f", "twice.yaml"]);
    assert!(
        stdout(&output).contains("error[duplicate]") && stdout(&output).contains("twice.yaml:15:9"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn no_colour_and_no_control_sequence_reaches_what_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("bad.yaml"),
        EXAMPLE.replace("Team Alpha", "\"\\e[31mred\\u202e\"  # \u{1b}[32m").replace("email:", "em\u{202e}ail:"),
    )
    .unwrap();
    for arguments in [["validate", "-f", "bad.yaml"], ["run", "-f", "bad.yaml"]] {
        let output = goldpath(folder.path(), &arguments);
        let printed = format!("{}{}", stdout(&output), stderr(&output));
        assert!(printed.contains("error"), "{printed}");
        assert!(!printed.contains(['\u{1b}', '\u{202e}', '\r']), "{printed:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE).unwrap();
    let mut child = binary("goldpath")
        .current_dir(folder.path())
        .args(["run", "--diff", "-f", "team.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
}

/// Requests of one line.
fn team(name: &str, id: &str, more: &str) -> String {
    crate::support::team_text(name, &format!("id: {id}, name: X{more}"))
}

#[test]
fn whoever_stops_reading_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let teams: Vec<_> = (0..60).map(|n| team(&format!("t{n}"), &format!("id{n}"), "")).collect();
    fs::write(folder.path().join("teams.yaml"), teams.join("---\n")).unwrap();
    let mut child = binary("goldpath")
        .current_dir(folder.path())
        .args(["run", "teams.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(tree_of(&folder.path().join(".goldpath/catalog.git")).len(), 60 * 2 + 1);
}

#[test]
fn a_dry_run_writes_nothing_and_tells_what_a_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("team.yaml"), text).unwrap();
    let entries = || fs::read_dir(folder.path()).unwrap().count();
    write(&team("a", "alpha", ""));
    let dry = goldpath(folder.path(), &["run", "team.yaml", "--dry-run"]);
    assert_eq!((dry.status.code(), entries()), (Some(0), 1), "{}", stderr(&dry));
    let diff = goldpath(folder.path(), &["diff", "team.yaml"]);
    assert_eq!((diff.status.code(), entries(), stderr(&diff)), (Some(1), 1, "1 would change\n"));
    let ended = |sum: &str| format!("{}{sum}", stdout(&diff));
    assert!(stdout(&dry).starts_with("Team default/a: would change\n"));
    assert!(stdout(&dry).ends_with(&ended("1 would change\n")), "{}", stdout(&dry));
    for file in
        ["manifests/team_default_a_quota.yaml", "catalog/teams/alpha.yaml", "infrastructure/teams/alpha/main.tf"]
    {
        assert!(stdout(&diff).contains(&format!("diff --git a/{file} b/{file}\nnew file mode 100644\n")), "{file}");
    }
    let run = goldpath(folder.path(), &["run", "team.yaml", "--diff"]);
    assert!(stdout(&run).ends_with(&ended("1 committed\n")), "{}", stdout(&run));
    assert_eq!(goldpath(folder.path(), &["diff", "team.yaml"]).status.code(), Some(0));

    write(&team("a", "alpha", ", quota: {memory: 64Gi}"));
    let stat = goldpath(folder.path(), &["diff", "team.yaml", "--stat"]);
    assert_eq!(stdout(&stat), "manifests/team_default_a_quota.yaml | +2 -2\n");
    let run = goldpath(folder.path(), &["run", "team.yaml"]);
    assert!(stdout(&run).starts_with("Team default/a: rendered\n  manifests       1 change in "), "{}", stdout(&run));
    let again = goldpath(folder.path(), &["run", "team.yaml"]);
    assert_eq!((stdout(&again), stderr(&again)), ("Team default/a: unchanged\n1 unchanged\n", ""));
    let gone = goldpath(folder.path(), &["diff", "team.yaml", "--delete", "-o", "json"]);
    let report: Value = serde_json::from_slice(&gone.stdout).unwrap();
    assert_eq!((&report[0]["outcome"], gone.status.code()), (&"would be deleted".into(), Some(1)));
    write("kind: [");
    assert_eq!(goldpath(folder.path(), &["diff", "team.yaml"]).status.code(), Some(2));
}

#[test]
fn what_is_rendered_is_what_a_run_delivers_and_namespaces_come_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("teams.yaml"), team("a", "alpha", "") + "---\n" + &team("b", "beta", "")).unwrap();
    let render = |more: &[&str]| goldpath(folder.path(), &[&["render", "teams.yaml"], more].concat());
    let stream = render(&[]);
    assert_eq!((stream.status.code(), stderr(&stream), folder.path().join(".goldpath").exists()), (Some(0), "", false));
    let kinds: Vec<_> = stdout(&stream).lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!((&kinds[..2], kinds.iter().filter(|kind| **kind == "Namespace").count()), (&["Namespace"; 2][..], 2));
    assert!(goldpath(folder.path(), &["run", "teams.yaml"]).status.success());
    assert!(render(&["--to", "out"]).status.success());
    let read = |path: &str| goldpath::file_tree::FileTree::read(&folder.path().join(path)).unwrap();
    let (rendered, delivered) = (read("out"), read(".goldpath/requests/team/default/a/output"));
    assert_eq!(rendered.len(), 2 * delivered.len());
    assert!(delivered.iter().all(|(path, content)| rendered.get(path) == Some(content)));
    let infrastructure = tree_of(&folder.path().join(".goldpath/infrastructure.git"));
    assert!(render(&["--infrastructure", "--to", "terraform"]).status.success());
    assert!(read("terraform").iter().all(|(path, content)| infrastructure.get(path) == Some(content)));
    assert!(stdout(&render(&["--catalog"])).contains("---\napiVersion: backstage.io/v1alpha1\nkind: Group\n"));
    let again = render(&["--to", "out"]);
    assert_eq!((again.status.code(), stderr(&again)), (Some(2), "error: out is not an empty folder\n"));

    fs::write(folder.path().join("teams.yaml"), team("a", "alpha", "") + "---\n" + &team("b", "alpha", "")).unwrap();
    let wrong = render(&[]);
    assert_eq!((wrong.status.code(), stdout(&wrong)), (Some(1), ""));
    assert!(stderr(&wrong).ends_with("nothing is rendered: mend these requests first\n"), "{}", stderr(&wrong));
}

#[test]
fn what_is_in_the_files_no_more_is_pruned_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("teams/a.yaml", team("a", "a1", "")),
        ("teams/b.yaml", team("b", "b1", "") + "---\n" + &team("c", "c1", "")),
        ("teams/deep/d.yaml", team("d", "d1", "")),
        ("other.yaml", team("o", "o1", "")),
    ] {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::write(folder.path().join(path), text).unwrap();
    }
    let run = |arguments: &[&str]| goldpath(folder.path(), &[&["run"], arguments].concat());
    assert!(run(&["-R", "teams", "other.yaml"]).status.success());
    let there = || -> Vec<String> {
        let tree = tree_of(&folder.path().join(".goldpath/catalog.git"));
        tree.paths().map(ToString::to_string).filter(|path| path.starts_with("teams/")).collect()
    };
    fs::write(folder.path().join("teams/b.yaml"), team("b", "b1", "")).unwrap();
    fs::remove_file(folder.path().join("teams/deep/d.yaml")).unwrap();
    let told = run(&["-R", "teams"]);
    let note =
        "note: Team default/c, Team default/d came from these files and are in them no more: `--prune` deletes them\n";
    assert_eq!((told.status.code(), stderr(&told), there().len()), (Some(0), note, 5));
    // Another folder's, and another file's, is none of its business.
    assert_eq!(stderr(&run(&["other.yaml"])), "");
    let note = "note: Team default/c came from these files and is in them no more: `--prune` deletes it\nnote: ";
    assert!(stderr(&run(&["teams"])).starts_with(&note[..note.len() - 6]));

    let asked = run(&["-R", "teams", "--prune"]);
    let why = "error: `--prune` would delete Team default/c, Team default/d: nobody is here to be asked, so say `--yes` too; \
               nothing was done\n";
    assert_eq!((asked.status.code(), stderr(&asked), there().len()), (Some(2), why, 5));
    let diff = goldpath(folder.path(), &["diff", "-R", "teams", "--prune", "--stat"]);
    assert!(
        stdout(&diff).contains("catalog/teams/c1.yaml | +0 -") && diff.status.code() == Some(1),
        "{}",
        stdout(&diff)
    );
    assert_eq!(there().len(), 5);
    // What cannot be read may be what seems to be missing.
    fs::write(folder.path().join("teams/a.yaml"), "kind: [").unwrap();
    assert!(run(&["-R", "teams", "--prune", "--yes"]).status.code() == Some(1) && there().len() == 5);
    fs::write(folder.path().join("teams/a.yaml"), team("a", "a1", "")).unwrap();
    let pruned = run(&["-R", "teams", "--prune", "--yes"]);
    assert!(pruned.status.success() && stdout(&pruned).ends_with("2 deleted, 2 unchanged\n"), "{}", stdout(&pruned));
    assert_eq!(there(), ["teams/a1.yaml", "teams/b1.yaml", "teams/o1.yaml"]);
    assert_eq!(stderr(&run(&["-R", "teams"])), "");

    // A file that holds nothing any more, one that is gone, and a folder that is: named, and each twice.
    fs::write(folder.path().join("teams/b.yaml"), "# nobody\n").unwrap();
    let empty = run(&["teams/b.yaml"]);
    assert!(empty.status.code() == Some(1) && stderr(&empty).contains("help: write one; what it held"), "{empty:?}");
    fs::remove_file(folder.path().join("other.yaml")).unwrap();
    let gone = run(&["other.yaml"]);
    assert!(gone.status.code() == Some(2) && stderr(&gone).starts_with("error: cannot read other.yaml"), "{gone:?}");
    let pruned = run(&["teams/b.yaml", "other.yaml", "--prune", "--yes"]);
    assert!(pruned.status.success() && stdout(&pruned).ends_with("2 deleted\n"), "{pruned:?}");
    assert_eq!(there(), ["teams/a1.yaml"]);
    let again = run(&["teams/b.yaml", "--prune", "--yes"]);
    assert!(again.status.success() && stdout(&again) == "nothing to do\n", "{again:?}");
    fs::remove_dir_all(folder.path().join("teams")).unwrap();
    let pruned = run(&["teams", "--prune", "--yes"]);
    assert!(pruned.status.success() && stdout(&pruned).ends_with("1 deleted\n") && there().is_empty(), "{pruned:?}");
    let slip = run(&["taems", "--prune", "--yes"]);
    assert!(slip.status.code() == Some(2) && stderr(&slip).starts_with("error: cannot read taems"), "{slip:?}");
}

/// The README's console, command by command: `BLESS=1` writes what they print anew.
#[test]
fn the_first_hour_is_as_the_readme_tells_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once("```console\n").unwrap();
    let (console, after) = rest.split_once("```\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = crate::support::program();
    let path_variable = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut told = String::new();
    for command in console.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(folder.path()).args(["-c", &format!("exec 2>&1; {command}")]);
        shell
            .env_clear()
            .env("PATH", &path_variable)
            .env("HOME", folder.path())
            .env("SOURCE_DATE_EPOCH", crate::support::TIME);
        told += &format!("$ {command}\n{}", stdout(&shell.output().unwrap()));
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, format!("{before}```console\n{told}```\n{after}")).unwrap();
    }
    assert!(told.contains("committed") && told.contains("1 deleted\n"), "{told}");
    assert_eq!(told, console);
}

/// A workspace with three Teams of a folder, and git in it.
struct Three(tempfile::TempDir);

impl Three {
    fn new() -> Self {
        let three = Self(tempfile::tempdir().unwrap());
        for n in 1..=3 {
            three.write(&format!("t/{n}.yaml"), &team(&format!("t{n}"), &format!("id{n}"), ""));
        }
        assert!(three.run(&["run", "t"]).status.success());
        three
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.0.path().join(path).parent().unwrap()).unwrap();
        fs::write(self.0.path().join(path), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        goldpath(self.0.path(), arguments)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = std::process::Command::new("git");
        git.current_dir(self.0.path())
            .args(["-c", "user.name=by hand", "-c", "user.email=by@hand.example"])
            .args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Somebody changes a repository by hand, in a clone of it.
    fn by_hand(&self, repository: &str, change: impl FnOnce(&Path)) {
        let clone = tempfile::tempdir().unwrap();
        let path = clone.path().to_str().unwrap();
        self.git(&["clone", "-q", "-b", "main", &format!(".goldpath/{repository}.git"), path]);
        change(clone.path());
        self.git(&["-C", path, "add", "-A"]);
        self.git(&["-C", path, "commit", "-qm", "by hand"]);
        self.git(&["-C", path, "push", "-q"]);
    }

    fn tree(&self, repository: &str) -> goldpath::file_tree::FileTree {
        tree_of(&self.0.path().join(format!(".goldpath/{repository}.git")))
    }

    fn entries(&self) -> usize {
        walk(&self.0.path().join(".goldpath"))
    }
}

fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { 1 + walk(&path) } else { 1 }).sum()
}

#[test]
fn packs_become_one_and_nothing_in_them_is_lost() {
    let three = Three::new();
    let git = |arguments: &[&str]| three.git(&[&["-C", ".goldpath/catalog.git"], arguments].concat());
    git(&["tag", "-a", "v1", "-m", "v1", "main"]);
    three.write("blob", "of nobody's tree\n");
    let blob = git(&["hash-object", "-w", "../../blob"]);
    let kept = git(&["commit-tree", "main^{tree}", "-m", "nothing leads here"]);
    git(&["gc", "-q", "--prune=never"]);
    let packs = || fs::read_dir(three.0.path().join(".goldpath/catalog.git/objects/pack")).unwrap().count();
    let mut most = 0;
    for n in 0..25 {
        three.write("t/1.yaml", &team("t1", "id1", &format!(", description: run {n}")));
        assert!(three.run(&["run", "t"]).status.success());
        most = most.max(packs());
    }
    assert!(most > 30 && packs() < 20, "{most} files of packs at most, {} in the end", packs());
    git(&["fsck", "--strict"]);
    assert_eq!([git(&["cat-file", "-t", "v1"]), git(&["cat-file", "-t", &blob])], ["tag", "blob"]);
    assert_eq!(
        (git(&["cat-file", "-t", &kept]).as_str(), git(&["rev-list", "--count", "main"]).as_str()),
        ("commit", "26")
    );
}

#[test]
fn what_is_passed_over_or_came_from_elsewhere_is_not_pruned() {
    let three = Three::new();
    let prune = || {
        let output = three.run(&["run", "--prune", "--yes", "-R", "t"]);
        (
            crate::support::transcript(&output),
            three.tree("catalog").paths().filter(|path| path.as_str().starts_with("teams/")).count(),
        )
    };
    for (path, name) in [("t/other.txt", "x1"), ("t/.h/hidden.yaml", "x2"), ("u/else.yaml", "x3")] {
        three.write(path, &team(name, name, ""));
        assert!(three.run(&["run", path]).status.success());
    }
    let (said, teams) = prune();
    assert_eq!(teams, 6, "{said}");
    // A slip in its group: the file is there, and passed over.
    three.write("t/1.yaml", &team("t1", "id1", "").replace("kratix.io", "kratix.oi"));
    let (said, teams) = prune();
    assert!(teams == 6 && said.contains("is none of this platform's"), "{said}");
    // From stdin last, whatever was before.
    fs::remove_file(three.0.path().join("t/1.yaml")).unwrap();
    let mut child =
        binary("goldpath").current_dir(three.0.path()).args(["run", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(team("t1", "id1", "").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(prune().1, 6);
    // A link that is gone, whatever it led to.
    std::os::unix::fs::symlink("../u/else.yaml", three.0.path().join("t/link.yaml")).unwrap();
    assert!(three.run(&["run", "t"]).status.success());
    fs::remove_file(three.0.path().join("t/link.yaml")).unwrap();
    assert_eq!(prune().1, 5);
    // The object's input is not needed for that.
    fs::remove_file(three.0.path().join("t/2.yaml")).unwrap();
    fs::remove_file(three.0.path().join(".goldpath/requests/team/default/t2/input/object.yaml")).unwrap();
    assert_eq!(prune().1, 4);
    // A folder that was, and is a link now, to what is away.
    three.write("t/deep/6.yaml", &team("t6", "id6", ""));
    assert!(three.run(&["run", "-R", "t"]).status.success());
    fs::rename(three.0.path().join("t/deep"), three.0.path().join("away")).unwrap();
    std::os::unix::fs::symlink("../nowhere", three.0.path().join("t/deep")).unwrap();
    assert_eq!(prune().1, 5);
    fs::remove_file(three.0.path().join("t/deep")).unwrap();
    // What takes its place is wrong.
    three.write("t/3.yaml", &team("t3-new", "ID3", ""));
    let (said, teams) = prune();
    let why =
        "note: Team default/t3, Team default/t6 came from these files and are in them no more: `--prune` waits until";
    assert!(teams == 5 && said.contains(why), "{said}");
    // The same Team by another name.
    three.write("t/3.yaml", &team("t3-new", "id3", ""));
    let (said, teams) = prune();
    assert!(
        teams == 4 && said.contains("Team default/t3: deleted") && said.contains("Team default/t3-new: committed"),
        "{said}"
    );
}

#[test]
fn what_somebody_did_by_hand_holds_up_nobody_else_and_a_look_foresees_it() {
    let three = Three::new();
    three.by_hand("infrastructure", |folder| {
        fs::remove_dir_all(folder.join("teams/id1")).unwrap();
        fs::write(folder.join("teams/id1"), "in the way").unwrap();
    });
    three.by_hand("catalog", |folder| {
        fs::remove_file(folder.join("teams/id3.yaml")).unwrap();
        fs::create_dir(folder.join("teams/id3.yaml")).unwrap();
        fs::write(folder.join("teams/id3.yaml/file"), "in the way").unwrap();
    });
    three.write("t/2.yaml", &team("t2", "id2", ", description: goes on"));
    let before = three.entries();
    let dry = three.run(&["run", "t", "--dry-run"]);
    assert!(stdout(&dry).ends_with("1 would change, 2 refused\n"), "{}", crate::support::transcript(&dry));
    assert_eq!(three.entries(), before, "a look writes something");
    let run = three.run(&["run", "t"]);
    assert!(
        run.status.code() == Some(1) && stdout(&run).ends_with("1 committed, 2 refused\n"),
        "{}",
        crate::support::transcript(&run)
    );
    assert!(
        stderr(&run).contains("`teams/id1/backend.tf` in infrastructure belongs to no request"),
        "{}",
        stderr(&run)
    );

    three.by_hand("catalog", |folder| {
        fs::write(folder.join("user.yaml"), "apiVersion: backstage.io/v1alpha1\nkind: User\n").unwrap();
    });
    let diff = three.run(&["diff", "t/2.yaml", "--stat"]);
    assert_eq!((diff.status.code(), stdout(&diff)), (Some(1), "catalog/catalog-info.yaml | +3 -0\n"));
    let run = three.run(&["run", "t/2.yaml"]);
    let note = "note: `catalog-info.yaml` in catalog is brought up to date: it lists what holds entities now\n";
    assert_eq!((stdout(&run), stderr(&run)), ("Team default/t2: unchanged\n1 unchanged\n", note));
    three.by_hand("catalog", |folder| fs::remove_file(folder.join(".goldpath/team/default/t2.yaml")).unwrap());
    let run = three.run(&["run", "t/2.yaml"]);
    assert!(stdout(&run).contains("    ~ .goldpath/team/default/t2.yaml\n") && stdout(&run).ends_with("1 committed\n"));

    three.by_hand("catalog", |folder| fs::remove_file(folder.join("teams/id2.yaml")).unwrap());
    let gone = three.run(&["run", "t/2.yaml", "--delete", "--dry-run"]);
    assert!(stdout(&gone).contains("    - .goldpath/team/default/t2.yaml\n"), "{}", stdout(&gone));

    three.by_hand("catalog", |folder| fs::write(folder.join("catalog-info.yaml"), "by: hand\n").unwrap());
    for arguments in [&["run", "t/2.yaml"][..], &["run", "--diff", "t/2.yaml"], &["run", "--dry-run", "t/2.yaml"]] {
        let output = three.run(arguments);
        assert!(
            output.status.code() == Some(1) && stdout(&output).ends_with("1 refused\n"),
            "{}",
            crate::support::transcript(&output)
        );
    }
    assert_eq!(three.run(&["diff", "t/2.yaml"]).status.code(), Some(2));
}

#[test]
fn a_failure_is_told_whatever_is_to_be_printed() {
    let three = Three::new();
    // Another's lock makes nobody wait who only looks.
    let lock = fs::File::create(three.0.path().join(".goldpath/catalog.git/goldpath.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(three.run(&["diff", "t"]).status.code(), Some(0));
    drop(lock);
    // What the last run said may be damaged.
    three.write(".goldpath/requests/team/default/t1/metadata/status.yaml", "\u{1}: [");
    assert_eq!(crate::support::transcript(&three.run(&["diff", "t", "--stat"])), "3 unchanged\nexit 0\n");
    assert!(three.run(&["run", "t"]).status.success());
    // A folder of ours that is somebody else's.
    let output = three.0.path().join(".goldpath/requests/team/default/t1/output");
    fs::rename(&output, three.0.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(three.0.path().join("elsewhere"), &output).unwrap();
    let quiet = three.run(&["run", "-q", "t"]);
    assert!(quiet.status.code() == Some(2) && stderr(&quiet).contains("is a link, and no folder of ours"), "{quiet:?}");
    let json = three.run(&["run", "-o", "json", "t"]);
    let entries: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((entries.as_array().unwrap().len(), &entries[0]["outcome"]), (3, &"failed".into()));

    let config = "repositories: {catalog: {url: FOLDER/.goldpath/catalog.git}, infrastructure: {url: FOLDER/.goldpath/../.goldpath/catalog.git}}";
    three.write("config.yaml", &config.replace("FOLDER", three.0.path().to_str().unwrap()));
    let one = three.run(&["run", "t", "--config", "config.yaml"]);
    assert!(one.status.code() == Some(2) && stderr(&one).contains("cannot be both"), "{}", stderr(&one));
}

#[test]
fn a_list_tells_how_far_each_request_is_and_status_tells_all_of_it() {
    let empty = tempfile::tempdir().unwrap();
    let output = goldpath(empty.path(), &["list"]);
    let note = "note: no request is in the workspace .goldpath: `goldpath run FILE` delivers one\n";
    assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(0), "", note));

    let three = Three::new();
    three.write("t/2.yaml", &team("t2", "UPPER", ""));
    three.write("t/4.yaml", &team("t4", "id1", ""));
    three.write(
        "t/5.yaml",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: t5}\nspec: {id: t5}\n",
    );
    assert_eq!(three.run(&["run", "t/2.yaml", "t/5.yaml"]).status.code(), Some(1));
    assert_eq!(three.run(&["run", "t/4.yaml"]).status.code(), Some(1));
    let names = three.run(&["list", "-o", "name"]);
    assert_eq!(stdout(&names).lines().collect::<Vec<_>>(), [1, 2, 3, 4, 5].map(|n| format!("team/default/t{n}")));
    let list = three.run(&["list"]);
    let words: Vec<Vec<&str>> = stdout(&list).lines().map(|line| line.split_whitespace().collect()).collect();
    let told: Vec<_> = words.iter().map(|words| words[..4].join(" ")).collect();
    let expected = ["delivered", "wrong", "delivered", "refused", "wrong"];
    assert_eq!(told[0], "REQUEST PHASE PULL REQUEST");
    for (n, phase) in expected.iter().enumerate() {
        let row = format!("team/default/t{} {phase} - ", n + 1);
        assert!(told[n + 1].starts_with(&row), "{told:?}");
    }
    let json: Value = serde_json::from_slice(&three.run(&["list", "-o", "json"]).stdout).unwrap();
    assert_eq!(json[4]["violations"][0]["path"], "spec.name");
    assert_eq!(json[0]["request"], serde_json::json!({"kind": "Team", "namespace": "default", "name": "t1"}));

    for name in ["team/t2", "Team/t2", "team/default/t2", "Team default/t2"] {
        let status = three.run(&["status", name]);
        let text = stdout(&status);
        assert!(status.status.success() && text.starts_with("Team default/t2: wrong since "), "{status:?}");
        assert!(text.contains("\n  message         `UPPER` is not an id; edit it and run it again\n"), "{text}");
        assert!(text.contains("\n  fault           spec.id: `UPPER` is not an id; use a-z"), "{text}");
        assert_eq!(text.matches("Team ").count(), 1, "{text}");
    }
    assert_eq!(stdout(&three.run(&["status"])).matches("\n  message         ").count(), 5);
    for (name, why) in [
        ("team/other", "error: no Team default/other is in the workspace .goldpath: `goldpath list` shows what is\n"),
        ("team", "error: `team` names no request; write it as in `Team default/alpha` or `team/default/alpha`\n"),
        ("tem/t2", "error: `tem` is not a kind of this platform; use `Team`, `Environment`, `Application`\n"),
    ] {
        let status = three.run(&["status", name]);
        assert_eq!((status.status.code(), stderr(&status)), (Some(2), why));
    }

    // Whoever has only the repositories.
    let config =
        "repositories: {catalog: {url: .goldpath/catalog.git}, infrastructure: {url: .goldpath/infrastructure.git}}";
    three.write("platform.yaml", config);
    let list = || {
        let output = three.run(&["list", "-o", "json", "--config", "platform.yaml"]);
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), stderr(&output).to_owned(), output.status.code())
    };
    let (held, _, code) = list();
    let phases: Vec<_> =
        held.as_array().unwrap().iter().map(|held| (&held["request"]["name"], &held["phase"])).collect();
    let expected = ["t1", "t2", "t3"].map(|name| (Value::from(name), Value::from("delivered")));
    assert_eq!((phases, code), (expected.iter().map(|(name, phase)| (name, phase)).collect(), Some(0)));
    assert!(held[0]["message"].as_str().unwrap().ends_with("whoever runs it there applies this"), "{held}");
    let at = std::process::Command::new("git")
        .current_dir(three.0.path().join(".goldpath/infrastructure.git"))
        .args(["log", "-1", "--format=%cI", "main"])
        .output()
        .unwrap();
    let at: jiff::Timestamp = stdout(&at).trim().parse().unwrap();
    assert_eq!(held[0]["since"], at.to_string());
    three.write("half.yaml", "repositories: {catalog: {url: .goldpath/catalog.git}}");
    let half = three.run(&["list", "-o", "json", "--config", "half.yaml"]);
    assert_eq!(serde_json::from_slice::<Value>(&half.stdout).unwrap(), held, "the other one is in the workspace");
    three.by_hand("infrastructure", |clone| fs::remove_file(clone.join(".goldpath/team/default/t3.yaml")).unwrap());
    three.by_hand("catalog", |clone| fs::write(clone.join(".goldpath/team/default/t1.yaml"), "\u{1}").unwrap());
    let (held, told, code) = list();
    let phase =
        |name: &str| held.as_array().unwrap().iter().find(|h| h["request"]["name"] == name).map(|h| &h["phase"]);
    assert_eq!(
        [phase("t1"), phase("t2"), phase("t3")],
        [Some("unknown"), Some("delivered"), Some("delivering")]
            .map(|p| p.map(Value::from))
            .each_ref()
            .map(Option::as_ref)
    );
    let why = "cannot tell what catalog holds of it: the inventory `.goldpath/team/default/t1.yaml` is damaged";
    assert!(held[0]["message"].as_str().unwrap().starts_with(why), "{held}");
    assert_eq!((told.as_str(), code), ("", Some(2)));
    // Others are not to blame for it.
    let status = |name: &str| three.run(&["status", name, "--config", "platform.yaml"]);
    assert_eq!((status("team/t1").status.code(), status("team/t2").status.code()), (Some(2), Some(0)));

    // What is on no branch, of a kind that nobody promises, or gone.
    three.by_hand("catalog", |clone| {
        let inventory = |kind: &str| format!("request: {{kind: {kind}, namespace: default, name: x}}\nfiles: []\n");
        for (folder, text) in [("foo", inventory("Foo")), ("bar", "\u{1}".to_owned())] {
            fs::create_dir_all(clone.join(format!(".goldpath/{folder}/default"))).unwrap();
            fs::write(clone.join(format!(".goldpath/{folder}/default/x.yaml")), text).unwrap();
        }
        fs::remove_file(clone.join("teams/id2.yaml")).unwrap();
    });
    let (held, told, code) = list();
    let of = |name: &str| held.as_array().unwrap().iter().find(|held| held["request"]["name"] == name).unwrap();
    assert_eq!(of("x")["message"], "this Goldpath has no Promise for Foo: ask one that has");
    assert_eq!(
        (&of("t2")["phase"], &of("t2")["drift"]),
        (&"delivered".into(), &serde_json::json!(["catalog: teams/id2.yaml"]))
    );
    assert!(
        of("t2")["message"].as_str().unwrap().contains("`catalog: teams/id2.yaml` is gone from there: run it again"),
        "{held}"
    );
    assert!(told.starts_with("error: catalog: the inventory `.goldpath/bar/default/x.yaml` is damaged"), "{told}");
    assert_eq!((code, status("foo/x").status.code(), status("team/t2").status.code()), (Some(2), Some(2), Some(0)));
    three.write("catalog.yaml", "repositories: {catalog: {url: .goldpath/catalog.git}}");
    let partly = three.run(&["status", "team/t2", "--config", "catalog.yaml", "--workspace", "elsewhere"]);
    let why = "what infrastructure holds is not known: name it in the configuration, or the workspace that has it";
    assert!(partly.status.code() == Some(2) && stdout(&partly).contains(why), "{partly:?}");
    assert!(three.run(&["status", "team/t2", "--config", "catalog.yaml"]).status.success());
    // What a delivery does not believe.
    three.by_hand("catalog", |clone| {
        let inventory = |n: u32, files: &str| {
            format!("request: {{kind: Team, namespace: default, name: t{n}}}\nfiles: [{files}]\n")
        };
        let write = |n: u32, files: &str| {
            fs::write(clone.join(format!(".goldpath/team/default/t{n}.yaml")), inventory(n, files)).unwrap();
        };
        for (n, files) in [(1, "teams/id1.yaml, teams/id2.yaml"), (2, "teams/id2.yaml"), (3, "README.md")] {
            write(n, files);
        }
    });
    let (held, _, code) = list();
    let of = |name: &str| held.as_array().unwrap().iter().find(|held| held["request"]["name"] == name).unwrap();
    for (name, why) in [
        ("t1", "lists `teams/id2.yaml`, which `.goldpath/team/default/t2.yaml` of Team default/t2 lists too"),
        ("t2", "lists `teams/id2.yaml`, which `.goldpath/team/default/t1.yaml` of Team default/t1 lists too"),
        ("t3", "it lists `README.md`, which no Team has in catalog"),
    ] {
        assert!(of(name)["phase"] == "unknown" && of(name)["message"].as_str().unwrap().contains(why), "{held}");
    }
    assert_eq!(code, Some(2));
    three.write("branch.yaml", &config.replace("catalog: {", "catalog: {branch: nope, "));
    let branch = three.run(&["list", "-o", "json", "--config", "branch.yaml"]);
    assert!(branch.status.code() == Some(2) && stderr(&branch).ends_with("it has no branch `nope`\n"), "{branch:?}");
    // What the other one holds is told.
    let held: Value = serde_json::from_slice(&branch.stdout).unwrap();
    assert_eq!((&held[0]["request"]["name"], &held[0]["phase"]), (&"t1".into(), &"unknown".into()), "{held}");
    assert!(held[0]["message"].as_str().unwrap().ends_with("; what catalog holds is not known"), "{held}");

    // Waiting.
    let wait = |arguments: &[&str]| three.run(&[&["status", "--config", "platform.yaml"], arguments].concat());
    let late = wait(&["team/t9", "--wait", "--timeout", "0s"]);
    let told = stderr(&late);
    let (begin, end) = ("team/default/t9: unknown: catalog: the inventory ", "\nerror: it is not so after 0s\n");
    assert!(late.status.code() == Some(2) && told.starts_with(begin) && told.ends_with(end), "{late:?}");
    let gone = wait(&["team/t9", "--wait=deleted", "--timeout", "0s"]);
    assert_eq!(gone.status.code(), Some(2), "what is damaged may be it: {gone:?}");
    let nowhere = three.run(&["status", "team/t1", "--wait"]);
    assert_eq!(
        stderr(&nowhere),
        "error: nothing in a workspace changes by itself: name a configuration with `--config`\n"
    );
    let time = wait(&["team/t1", "--wait", "--timeout", "soon"]);
    assert!(stderr(&time).contains("write it as in `90s`, `10m` or `1h`"), "{time:?}");
}

#[test]
fn what_a_workspace_does_not_say_is_unknown() {
    let three = Three::new();
    let metadata = |n: u32, name: &str| format!(".goldpath/requests/team/default/t{n}/metadata/{name}");
    fs::remove_file(three.0.path().join(metadata(1, "status.yaml"))).unwrap();
    three.write(&metadata(2, "status.yaml"), "");
    three.write(&metadata(3, "status.yaml"), "\u{1}: [");
    three.write(".goldpath/requests/team/notes", "a file of somebody's");
    let list = three.run(&["list"]);
    let text = stdout(&list);
    assert_eq!((list.status.code(), text.matches(" unknown ").count()), (Some(2), 3), "{list:?}");
    for why in [
        "its run has not ended: it goes on, or was interrupted",
        "its status says nothing: run it again",
        "cannot read",
    ] {
        assert!(text.contains(why), "{text}");
    }
    let status = three.run(&["status", "team/t3"]);
    assert!(status.status.code() == Some(2) && stdout(&status).contains("t3/metadata/status.yaml"), "{status:?}");
    assert!(three.run(&["run", "t"]).status.success() && three.run(&["status", "team/t3"]).status.success());

    // A run that failed is tried again by nobody here, and a refused one is not a wrong one.
    three.by_hand("catalog", |clone| fs::write(clone.join(".goldpath/team/default/t1.yaml"), "\u{1}").unwrap());
    three.write("t/1.yaml", &team("t1", "id1", ", description: other"));
    three.write("t/2.yaml", &team("t2", "id22", ""));
    assert_eq!(three.run(&["run", "t"]).status.code(), Some(2));
    let held: Value = serde_json::from_slice(&three.run(&["list", "-o", "json"]).stdout).unwrap();
    assert_eq!([&held[0]["phase"], &held[1]["phase"]], ["failed", "refused"], "{held}");
    assert!(!held[0]["message"].as_str().unwrap().contains("tries again by itself"), "{held}");

    // One that was killed behind `render`: the new manifests are there, and nothing of it is delivered.
    let status = fs::read_to_string(three.0.path().join(metadata(3, "status.yaml"))).unwrap();
    let mut killed: Value = serde_yaml::from_str(&status).unwrap();
    let rendered = killed["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Rendered").unwrap();
    killed["message"] = rendered["message"].clone();
    three.write(&metadata(3, "status.yaml"), &killed.to_string());
    let killed = three.run(&["status", "team/t3"]);
    assert!(killed.status.code() == Some(2) && stdout(&killed).contains("its run was interrupted"), "{killed:?}");
    three.write(&metadata(3, "status.yaml"), &status);
    assert!(three.run(&["status", "team/t3"]).status.success());
    fs::remove_dir_all(three.0.path().join(".goldpath/requests/team/default/t3/output")).unwrap();
    let gone = three.run(&["status", "team/t3"]);
    assert!(gone.status.code() == Some(2) && stdout(&gone).contains("its manifests are gone from"), "{gone:?}");

    three.write("file", "");
    let file = three.run(&["list", "--workspace", "file"]);
    assert!(file.status.code() == Some(2) && stderr(&file).starts_with("error: cannot read file/requests"), "{file:?}");
    for name in ["team/", "/", "", "team/a/b/c"] {
        let status = three.run(&["status", name]);
        assert!(
            status.status.code() == Some(2) && stderr(&status).contains("names no request; write it as in"),
            "{status:?}"
        );
    }
}

#[test]
fn what_reviews_is_a_program_of_its_own_of_the_same_version() {
    let folder = tempfile::tempdir().unwrap();
    let program = crate::support::program();
    fs::copy(&program, folder.path().join("goldpath")).unwrap();
    let policy = |name: &Path, path: &Path| {
        let mut command = Command::new(name);
        command.args(["policy", "--module", "teams/a", "plan.json"]).current_dir(folder.path()).env("PATH", path);
        command
    };
    let alone = folder.path().join("goldpath");
    let missing = policy(&alone, folder.path()).output().unwrap();
    let why = "error: `goldpath-review`, which does this, is neither beside `goldpath` nor on the PATH";
    assert!(missing.status.code() == Some(2) && stderr(&missing).starts_with(why), "{missing:?}");
    for (name, path) in [(&alone, program.parent().unwrap()), (&program, folder.path())] {
        let found = policy(name, path).output().unwrap();
        assert!(found.status.code() == Some(2) && stderr(&found).contains("cannot read plan.json"), "{found:?}");
    }
    let review = program.with_file_name("goldpath-review");
    let other = policy(&review, folder.path()).env("GOLDPATH_STARTED_BY", "v9.9.9").output().unwrap();
    let why = "and goldpath v9.9.9: install both from one commit";
    assert!(other.status.code() == Some(2) && stderr(&other).contains(why), "{other:?}");
}

#[test]
fn a_clone_of_a_repository_that_is_delivered_to_is_no_workspace() {
    let three = Three::new();
    let clone = tempfile::tempdir().unwrap();
    three.git(&["clone", "-q", "-b", "main", ".goldpath/catalog.git", clone.path().join("c").to_str().unwrap()]);
    fs::write(clone.path().join("c/team.yaml"), EXAMPLE).unwrap();
    let run = goldpath(&clone.path().join("c"), &["run", "team.yaml"]);
    let why = "error: .goldpath is no workspace: it holds .goldpath/team, as the clone of a repository";
    assert!(run.status.code() == Some(2) && stderr(&run).starts_with(why), "{run:?}");
    assert!(!clone.path().join("c/.goldpath/lock").exists());
    for arguments in [&["list"][..], &["status"], &["diff", "team.yaml"]] {
        let output = goldpath(&clone.path().join("c"), arguments);
        assert!(output.status.code() == Some(2) && stderr(&output).starts_with(why), "{output:?}");
    }
    let here = three.run(&["run", "t", "--workspace", clone.path().join("c").to_str().unwrap()]);
    assert!(
        here.status.code() == Some(2) && stderr(&here).contains("is no workspace, it is a git repository"),
        "{here:?}"
    );
    let bare = three.run(&["run", "t", "--workspace", ".goldpath/catalog.git"]);
    assert!(bare.status.code() == Some(2) && !three.0.path().join(".goldpath/catalog.git/lock").exists(), "{bare:?}");
    assert!(!clone.path().join("c/.gitignore").exists());
    // Nor is a folder that holds something of somebody's, which git would no longer see, nor one in a repository's own.
    let mine = clone.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("notes.txt"), "mine").unwrap();
    let bare = three.0.path().join(".goldpath/catalog.git/w");
    for (folder, why) in [(&mine, "notes.txt, which git would no longer see"), (&bare, "it is a git repository")] {
        let run = three.run(&["run", "t", "--workspace", folder.to_str().unwrap()]);
        assert!(run.status.code() == Some(2) && stderr(&run).contains(why), "{run:?}");
    }
    assert!(!mine.join(".gitignore").exists() && !bare.exists());
    // What was a workspace stays one, also when inventories come beside it.
    fs::create_dir(three.0.path().join(".goldpath/team")).unwrap();
    assert!(three.run(&["list"]).status.success());
    assert!(goldpath(&clone.path().join("c"), &["run", "team.yaml", "--workspace", "w"]).status.success());
}

#[test]
fn whoever_begins_has_a_request_a_configuration_and_a_schema_for_the_editor() {
    let folder = tempfile::tempdir().unwrap();
    let init = || goldpath(folder.path(), &["init", "first"]);
    let output = init();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("next: `goldpath diff first/requests`, then `goldpath run first/requests`\n"));
    let read = |name: &str| fs::read_to_string(folder.path().join("first").join(name)).unwrap();
    assert!(read("requests/team.yaml").starts_with("# yaml-language-server: $schema=../schemas/team.json\n"));
    assert_eq!(read("schemas/team.json"), stdout(&goldpath(folder.path(), &["schema", "team"])));
    assert_eq!(read("schemas/team.json"), stdout(&goldpath(folder.path(), &["schema", "Team"])));
    let validate = ["validate", "first/requests", "--config", "first/goldpath.yaml"];
    assert_eq!(crate::support::transcript(&goldpath(folder.path(), &validate)), "no fault in 1 request\nexit 0\n");
    assert_eq!(goldpath(folder.path(), &["diff", "first/requests"]).status.code(), Some(1));
    let again = init();
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).starts_with("error: first/requests/team.yaml, first/goldpath.yaml, first/schemas/team.json")
    );
    let unknown = goldpath(folder.path(), &["schema", "Teem"]);
    assert!(
        unknown.status.code() == Some(2) && stderr(&unknown).contains("the kinds are Team"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn habits_of_kubectl_get_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, hint) in [
        (&["apply", "-f", "x"][..], "hint: `goldpath run FILE` renders and delivers requests\n"),
        (&["delete", "team", "a"], "hint: `goldpath run --delete FILE` deletes requests\n"),
        (&["run", "x", "-n", "people"], "hint: the namespace of a request stands in its `metadata`\n"),
        (&["list", "--namespace=people"], "hint: the namespace of a request stands in its `metadata`\n"),
        (&["list", "-A"], "hint: `goldpath list` lists the requests of all namespaces\n"),
        (
            &["run", "--selector=a", "x"],
            "hint: nothing is chosen by labels here: name files, or filter what `-o json` prints\n",
        ),
    ] {
        let output = goldpath(folder.path(), arguments);
        assert!(output.status.code() == Some(2) && stderr(&output).ends_with(hint), "{}", stderr(&output));
        assert!(!stderr(&output).contains("tip:"), "{}", stderr(&output));
    }
    // A file of such a name is none.
    let output = goldpath(folder.path(), &["run", "apply"]);
    assert!(!stderr(&output).contains("hint"), "{}", stderr(&output));
}

#[test]
fn an_id_is_for_ever_here_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), team("a", "alpha", "")).unwrap();
    assert!(goldpath(folder.path(), &["run", "team.yaml"]).status.success());
    let delivered = tree_of(&folder.path().join(".goldpath/infrastructure.git"));
    let output = folder.path().join(".goldpath/requests/team/default/a/output");
    let manifests = goldpath::file_tree::FileTree::read(&output).unwrap();
    fs::write(folder.path().join("team.yaml"), team("a", "beta", "")).unwrap();
    for arguments in [&["run", "team.yaml"][..], &["run", "team.yaml", "--dry-run"], &["run", "-f", "team.yaml"]] {
        let refused = goldpath(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(1));
        let fault = "error[immutable]: `spec.id` was `alpha` and cannot be changed to `beta`: it names what exists already\n \
                     --> team.yaml:4:12\n";
        assert!(stderr(&refused).starts_with(fault), "{}", stderr(&refused));
        assert_eq!(stdout(&refused).lines().next(), Some("Team default/a: refused"));
        assert_eq!(tree_of(&folder.path().join(".goldpath/infrastructure.git")), delivered);
        assert_eq!(goldpath::file_tree::FileTree::read(&output).unwrap(), manifests);
    }
}

#[test]
fn requests_are_read_as_kubectl_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["below/deeper", "mixed/.hidden"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let json = |name: &str, id: &str| {
        crate::support::team(serde_json::json!({"name": name}), serde_json::json!({"id": id, "name": "é"}))
    };
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [json("l1", "l1"), json("l2", "l2")]});
    fs::write(path("list.json"), list.to_string()).unwrap();
    fs::write(path("several.json"), format!("{}\n{}{}", json("s1", "s1"), json("s2", "s2"), json("s3", "api")))
        .unwrap();
    fs::write(path("below/deeper/team.json"), json("d", "d").to_string()).unwrap();
    fs::write(path("mixed/a.yaml"), team("a", "a", "")).unwrap();
    fs::write(path("mixed/kustomization.yaml"), "resources: [a.yaml]\n").unwrap();
    fs::write(path("mixed/other.yaml"), format!("apiVersion: v1\nkind: ConfigMap\n---\n{}", team("o", "o", "")))
        .unwrap();
    fs::write(path("mixed/.hidden/x.yaml"), "kind: [").unwrap();
    let validate = |arguments: &[&str]| {
        let output = goldpath(folder.path(), &[&["validate"], arguments].concat());
        (output.status.code(), crate::support::transcript(&output))
    };
    let (code, text) = validate(&["list.json"]);
    assert_eq!((code, text.as_str()), (Some(0), "no fault in 2 requests\nexit 0\n"));
    let (code, text) = validate(&["several.json"]);
    let column = json("s2", "s2").to_string().chars().count() + json("s3", "").to_string().find("\"id\":").unwrap() + 6;
    assert!(code == Some(1) && text.contains(&format!("several.json:2:{column}\n")), "{column}: {text}");
    let (code, text) = validate(&["below"]);
    let advice = "error: below holds no file that ends in .yaml, .yml or .json, and below/deeper does: `--recursive` reads it too\n";
    assert_eq!((code, text.as_str()), (Some(2), &*format!("{advice}exit 2\n")));
    assert_eq!(validate(&["-R", "-f", "below"]).1, "no fault in 1 request\nexit 0\n");
    let (code, text) = validate(&["mixed"]);
    let notes = "note: mixed/kustomization.yaml: not read, because it is for kustomize: `kubectl kustomize` builds what it names\n\
                 note: mixed/other.yaml: the document in line 1 is none of this platform's (`v1`)\n";
    assert_eq!((code, text.as_str()), (Some(0), &*format!("{notes}no fault in 2 requests\nexit 0\n")));
    std::os::unix::fs::symlink("nowhere", path("mixed/gone.yaml")).unwrap();
    let (code, text) = validate(&["mixed"]);
    assert!(code == Some(2) && text.contains("mixed/gone.yaml, a link to what is not there"), "{text}");
}

#[test]
fn what_is_passed_over_is_told_and_kept_from_pruning() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["g", "real"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("g/a.yaml"), team("a", "alpha", "")).unwrap();
    fs::write(path("g/Kustomization"), "resources: []\n").unwrap();
    fs::write(path("real/z.yaml"), team("z", "zeta", "")).unwrap();
    std::os::unix::fs::symlink("../real", path("g/linked")).unwrap();
    let run = goldpath(folder.path(), &["run", "-R", "g"]);
    assert!(stdout(&run).ends_with("1 committed\n"), "{run:?}");
    for note in [
        "note: g/Kustomization: not read, because it is for kustomize",
        "note: g/linked: not read, because it is a link to a folder: name it to have it read\n",
    ] {
        assert!(stderr(&run).contains(note), "{run:?}");
    }
    fs::rename(path("g/a.yaml"), path("g/a.YAML")).unwrap();
    let run = goldpath(folder.path(), &["run", "-R", "g", "--prune", "--yes"]);
    assert!(stdout(&run).ends_with("1 unchanged\n"), "{run:?}");
    let twice = goldpath(folder.path(), &["validate", "g/a.YAML", "g"]);
    assert!(stdout(&twice).contains("as in the same file, which is given twice"), "{twice:?}");
    for name in ["teams/a", "tm/a", "Team/a", "teams.platform.kratix.io/a", "team.platform.kratix.io/default/a"] {
        assert!(goldpath(folder.path(), &["status", name]).status.success(), "{name}");
    }
}

#[test]
fn metadata_is_what_kubernetes_has_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let validate = |metadata: &str| {
        let text = team("a", "a", "").replace("{name: a}", &format!("{{name: a, {metadata}}}"));
        fs::write(folder.path().join("team.yaml"), text).unwrap();
        let output = goldpath(folder.path(), &["validate", "team.yaml"]);
        (output.status.code(), stdout(&output).to_owned())
    };
    // As `kubectl get -o yaml` writes it.
    let all = "uid: x, resourceVersion: '5', creationTimestamp: '2026-01-01T00:00:00Z', managedFields: [{manager: a}], \
               finalizers: [a/b], ownerReferences: [{name: a}], selfLink: /a, generation: 1";
    assert_eq!(validate(all), (Some(0), String::new()));
    assert_eq!(validate("creationTimestamp: null").0, Some(0));
    let (code, told) = validate("lables: {a: b}, annotation: {x: y}");
    assert!(
        code == Some(1) && told.contains("`lables` is not a field here") && told.contains("`annotation`"),
        "{told}"
    );
    for wrong in ["uid: 5", "resourceVersion: 5", "finalizers: foo", "creationTimestamp: foo", "managedFields: foo"] {
        let (code, told) = validate(wrong);
        assert!(code == Some(1) && told.contains("is not as Kubernetes has it"), "{wrong}: {told}");
    }
}

#[test]
fn a_set_is_checked_before_anything_of_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let teams = [team("a", "alpha", ""), team("b", "alpha", ""), team("c", "gamma", ", parent: gama")];
    fs::write(folder.path().join("teams.yaml"), teams.join("---\n")).unwrap();
    let run = goldpath(folder.path(), &["run", "teams.yaml"]);
    assert_eq!((run.status.code(), stdout(&run).lines().next()), (Some(1), Some("Team default/c: committed")));
    assert!(stdout(&run).ends_with("1 committed, 2 wrong\n"), "{}", stdout(&run));
    let validate = goldpath(folder.path(), &["validate", "teams.yaml"]);
    let faults = stderr(&run);
    assert_eq!((validate.status.code(), stdout(&validate)), (Some(1), faults));
    assert_eq!(stderr(&validate), "2 faults, 1 warning in 3 requests\n");
    let text = "error[taken]: `alpha` is also that of Team default/b, in teams.yaml:6\n --> teams.yaml:4:12\n";
    assert!(faults.starts_with(text), "{faults}");
    assert!(faults.contains("warning[unknown-team]: `gama` is none of these Teams\n"), "{faults}");
}

#[test]
fn what_a_request_refers_to_may_be_in_another_file_or_in_the_workspace_and_else_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("child.yaml", &team("child", "child", ", parent: parent, allowNetworkFrom: [nobody, other]"));
    write("parent.yaml", &team("parent", "parent", ""));
    fs::create_dir(folder.path().join("others")).unwrap();
    write("others/other.yaml", &team("other", "other", ""));
    let warned = |arguments: &[&str]| {
        let output = goldpath(folder.path(), arguments);
        assert!(output.status.success(), "{output:?}");
        let told = format!("{}{}", stdout(&output), stderr(&output));
        let lines = told.lines().filter_map(|line| line.strip_prefix("warning[unknown-team]: `"));
        lines.filter_map(|line| Some(line.split_once('`')?.0.to_owned())).collect::<Vec<_>>()
    };
    for command in ["validate", "diff", "render", "run"] {
        let alone: &[&str] = &[command, "child.yaml"];
        if command != "diff" {
            assert_eq!(warned(alone), ["parent", "nobody", "other"], "{command}");
        }
    }
    assert_eq!(warned(&["validate", "child.yaml", "parent.yaml"]), ["nobody", "other"]);
    assert_eq!(warned(&["validate", "parent.yaml", "child.yaml", "--with", "others"]), ["nobody"]);
    // What is looked at is not run, and what was run is known.
    let run = goldpath(folder.path(), &["run", "parent.yaml", "--with", "others/other.yaml"]);
    assert!(stdout(&run).ends_with("1 committed\n"), "{run:?}");
    assert_eq!(warned(&["validate", "child.yaml"]), ["nobody", "other"]);
    assert_eq!(warned(&["validate", "child.yaml", "--workspace", "elsewhere"]), ["parent", "nobody", "other"]);
    write("others/damaged.yaml", "a: [");
    let damaged = goldpath(folder.path(), &["validate", "child.yaml", "--with", "others"]);
    let why = "error: cannot look at others/damaged.yaml: ";
    assert!(damaged.status.code() == Some(2) && stderr(&damaged).starts_with(why), "{damaged:?}");
    // Parents form no circle over what the workspace has either.
    write("parent.yaml", &team("parent", "parent", ", parent: child"));
    for command in ["validate", "run"] {
        let circle = goldpath(folder.path(), &[command, "parent.yaml"]);
        let told = format!("{}{}", stdout(&circle), stderr(&circle));
        assert!(circle.status.code() == Some(1), "{circle:?}");
        assert!(told.contains("`spec.parent` closes a circle: parent → child → parent"), "{told}");
    }
    // On a laptop nobody sees all: the status says nothing of it.
    let status = folder.path().join(".goldpath/requests/team/default/child/metadata/status.yaml");
    assert!(!fs::read_to_string(status).unwrap().contains("nobody"));
}

#[test]
fn runs_in_one_workspace_wait_for_each_other_and_git_takes_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE).unwrap();
    fs::create_dir(folder.path().join("home")).unwrap();
    fs::write(folder.path().join("home/.gitconfig"), "[broken\n").unwrap();
    let start = || {
        let mut command = binary("goldpath");
        command.current_dir(folder.path()).args(["run", "team.yaml"]).env("HOME", folder.path().join("home"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..8).map(|_| start()).collect();
    let outputs: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
    let committed = outputs.iter().filter(|output| stdout(output).contains(": committed\n")).count();
    assert_eq!((committed, crate::support::messages_of(&folder.path().join(".goldpath/catalog.git")).len()), (1, 1));
    assert_eq!(fs::read_to_string(folder.path().join(".goldpath/.gitignore")).unwrap(), "*\n");
}

#[test]
fn the_configuration_changes_what_is_generated() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), EXAMPLE.replace("  email", "  # email")).unwrap();
    fs::write(
        folder.path().join("platform.yaml"),
        "defaults: {emailDomain: corp.example, quota: {pods: 9}}\ngitea: {url: https://git.corp.example/}\n",
    )
    .unwrap();
    let output = goldpath(folder.path(), &["run", "--config", "platform.yaml", "--diff", "-f", "team.yaml"]);
    let text = stdout(&output);
    assert!(
        text.contains("email: \"team-alpha@corp.example\"") && text.contains("\"https://git.corp.example/team-alpha\""),
        "{text}"
    );
    let quota = fs::read_to_string(
        folder.path().join(".goldpath/requests/team/default/example-team/output/team_default_example-team_quota.yaml"),
    )
    .unwrap();
    assert!(quota.contains("pods: 9\n"), "{quota}");
}

#[test]
fn what_differs_between_platforms_is_configuration() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("team.yaml"), team("a", "alpha", "")).unwrap();
    let policies = |config: &str| -> Vec<Value> {
        fs::write(folder.path().join("platform.yaml"), config).unwrap();
        let output = goldpath(folder.path(), &["render", "team.yaml", "--config", "platform.yaml"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let documents = serde_yaml::Deserializer::from_str(stdout(&output));
        let all = documents.map(|document| serde::Deserialize::deserialize(document).unwrap());
        all.filter(|object: &Value| {
            ["NetworkPolicy", "LimitRange"].contains(&object["kind"].as_str().unwrap_or_default())
        })
        .collect()
    };
    let named = |objects: &[Value], name: &str| objects.iter().find(|o| o["metadata"]["name"] == name).cloned();
    let usual = policies("{}");
    assert_eq!([named(&usual, "allow-from-platform"), named(&usual, "allow-to-addresses")], [None, None]);
    assert_eq!(named(&usual, "allow-dns").unwrap()["spec"]["egress"][0]["ports"][1]["port"], 53);
    let own = policies(
        "network: {dns: {port: 5353, namespace: openshift-dns}, allowFrom: [ingress, monitoring], allowTo: [10.0.0.0/8, 'fd00::/8']}\n\
         defaults: {containers: {limits: {cpu: 1}}}\n",
    );
    let dns = &named(&own, "allow-dns").unwrap()["spec"]["egress"][0];
    let selector =
        serde_json::json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}});
    assert_eq!((&dns["to"][0], &dns["ports"][0]["port"]), (&selector, &5353.into()));
    let from = &named(&own, "allow-from-platform").unwrap()["spec"]["ingress"][0]["from"][0];
    let values = &from["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*values, serde_json::json!(["ingress", "monitoring"]));
    let to = &named(&own, "allow-to-addresses").unwrap()["spec"]["egress"][0]["to"];
    assert_eq!(*to, serde_json::json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}]));
    assert_eq!(own[0]["spec"]["limits"][0]["default"]["cpu"], "1");
}

#[test]
fn generated_files_are_current_and_versions_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = goldpath(root, &["generate", "--check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let promise: Value = serde_yaml::from_slice(&fs::read(root.join("promises/team/promise.yaml")).unwrap()).unwrap();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(promise["metadata"]["labels"]["kratix.io/promise-version"], version);
    for pipeline in ["configure", "delete"] {
        for container in promise["spec"]["workflows"]["resource"][pipeline][0]["spec"]["containers"].as_array().unwrap()
        {
            assert!(container["image"].as_str().unwrap().ends_with(&format!(":{version}")), "{container}");
        }
    }
}

#[test]
fn what_is_generated_and_out_of_date_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, from, to) in [
        ("promises/team/promise.yaml", "maxLength: 40", "maxLength: 41"),
        ("promises/team/promise.yaml", "drop: [ALL]", "drop: []"),
        ("promises/team/README.md", "one line of at most 255 characters", "any text"),
        ("manifests/platform/kustomization.yaml", "promises/team", "promises/crew"),
        ("manifests/platform/roles.yaml", "[teams,", "[crews,"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let current = fs::read_to_string(root.join(name)).unwrap();
        let stale = folder.path().join(name);
        fs::create_dir_all(stale.parent().unwrap()).unwrap();
        fs::write(&stale, current.replace(from, to)).unwrap();
        assert_ne!(fs::read_to_string(&stale).unwrap(), current, "{name}");
        let check = goldpath(folder.path(), &["generate", "--check"]);
        assert_eq!(check.status.code(), Some(1));
        assert!(stderr(&check).contains(&format!("{name} is out of date")), "{}", stderr(&check));
        assert!(goldpath(folder.path(), &["generate"]).status.success());
        assert_eq!(fs::read_to_string(stale).unwrap(), current);
        assert!(folder.path().join("promises/team/kustomization.yaml").exists());
    }
}

#[test]
fn a_plan_is_checked_by_rules_that_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let config = |rules: &str| {
        let review = "user: r, repository: {owner: o, name: control}, policy: {rules: [own.rego]}";
        let rest = "gitea: {url: 'https://git.example', tokenFile: t}\nstate: {owner: s}\n\
                    repositories: {infrastructure: {owner: o, name: i}}";
        fs::write(folder.path().join("config.yaml"), format!("review: {{{review}}}\n{rest}\n")).unwrap();
        fs::write(folder.path().join("own.rego"), rules).unwrap();
    };
    fs::write(folder.path().join("plan.json"), "{}").unwrap();
    let policy =
        |module: &str| goldpath(folder.path(), &["policy", "--config", "config.yaml", "--module", module, "plan.json"]);
    config("package goldpath\ndeny contains {{");
    let output = policy("teams/alpha");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "error: cannot use the platform's rules: own.rego:2:17: expecting expression\n");
    config("package goldpath\ndeny contains \"a\" if input.deletes");
    let output = policy("teams/alpha");
    assert_eq!(output.status.code(), Some(1));
    let message = "denied[plan]: not a plan, as `terraform show -json PLAN_FILE` prints it: ";
    assert!(stdout(&output).starts_with(message), "{output:?}");
    for (text, why) in [
        (r#"{"format_version": "1.0", "terraform_version": "1.11.4", "values": {"root_module": {}}}"#, "it is a state"),
        (
            r#"{"format_version": "1.2", "planned_values": {}, "deferred_changes": [{}]}"#,
            "leaves changes for a later one",
        ),
        (r#"{"format_version": "1.2", "planned_values": {}, "complete": false}"#, "leaves changes for a later one"),
        (r#"{"format_version": "1.2", "planned_values": {}, "action_invocations": [{}]}"#, "runs actions of providers"),
        (r#"{"format_version": "1.2", "planned_values": {}, "news": {}}"#, "unknown field `news`"),
        (r#"{"format_version": "1.2"}"#, "neither `planned_values` nor `resource_changes`"),
    ] {
        fs::write(folder.path().join("plan.json"), text).unwrap();
        let output = policy("teams/alpha");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stdout(&output).contains(why), "{output:?}");
    }
    let text = r#"{"format_version": "1.2", "planned_values": {}}"#;
    let utf_16: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("plan.json"), utf_16).unwrap();
    assert!(stdout(&policy("teams/alpha")).contains("it is UTF-16"));
    fs::write(folder.path().join("plan.json"), format!("\u{feff}{text}")).unwrap();
    assert_eq!(policy("teams/alpha").status.code(), Some(0));
    assert_eq!(policy("../alpha").status.code(), Some(2));

    let plan = |action: &str| {
        let object = serde_json::json!({"id": "7", "name": "alpha", "visibility": "private"});
        let (before, after) = if action == "delete" { (object, Value::Null) } else { (Value::Null, object) };
        let change = serde_json::json!({
            "address": "gitea_org.team", "mode": "managed", "type": "gitea_org", "name": "team",
            "provider_name": "registry.terraform.io/go-gitea/gitea",
            "change": {"actions": [action], "before": before, "after": after},
        });
        let plan = serde_json::json!({"format_version": "1.2", "resource_changes": [change]});
        fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
    };
    plan("create");
    let output = policy("teams/alpha");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), "no finding in 1 plan\n"));
    plan("delete");
    let output = policy("teams/alpha");
    assert_eq!(
        crate::support::transcript(&output),
        "needs-owner[destroy] gitea_org.team: it is destroyed, with all that is in it\n1 finding in 1 plan\nexit 1\n"
    );
}
