//! Files that are made to hurt a reader: each gets a clear error, in little memory and time.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::binary;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// As much memory as a step's container may have: 64 MiB of address space, so less of memory.
const MEMORY_KIB: u64 = 64 << 10;

fn alias_bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    text
}

const SPEC: &str = "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: A}\n";

#[test]
fn abuse_ends_in_a_clear_error_within_little_memory_and_time() {
    let nested_blocks: String = (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("alias bomb", alias_bomb().into_bytes(), "alias"),
        ("100,000 flow levels", "[".repeat(100_000).into_bytes(), "deep"),
        ("100,000 block levels", "- ".repeat(100_000).into_bytes(), "deep"),
        ("mappings in mappings", nested_blocks.into_bytes(), "deep"),
        ("duplicate keys", b"spec: 1\nspec: 2\n".to_vec(), "`spec` is given twice"),
        ("a scalar of 20 MB", format!("spec: {}\n", "x".repeat(20 << 20)).into_bytes(), "MiB"),
        ("not UTF-8", b"spec: \xff\xfe\n".to_vec(), "UTF-8"),
        ("a tag", b"spec: !!python/object:os.system ls\n".to_vec(), "tag"),
        ("a merge key", b"base: &b {id: a}\nspec:\n  <<: *b\n".to_vec(), "<<"),
        ("an unclosed quote", b"spec: \"x\n".to_vec(), "quote"),
        ("many nodes", format!("[{}]", "a,".repeat(200_000)).into_bytes(), "100000"),
        ("nothing", b"# nothing\n---\n".to_vec(), "no request"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let goldpath = crate::support::program();
    for (what, source, expected) in cases {
        let file = folder.path().join("request.yaml");
        fs::write(&file, source).unwrap();
        let started = Instant::now();
        // The limit is the kernel's: who needs more dies of it.
        let script = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" validate -f \"$1\"");
        let output = Command::new("sh").args(["-c", &script]).arg(&goldpath).arg(&file).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {printed}");
        assert!(printed.starts_with("error") && printed.contains(expected), "{what}: {printed}");
        assert!(printed.len() < 2000, "{what}: {} bytes were printed", printed.len());
        assert!(printed.contains("request.yaml"), "{what}: {printed}");
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: hangs");
    }
}

#[test]
fn of_many_faults_the_first_are_told_and_how_many_more_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let keys: String = (0..20_000).map(|n| format!("  unknown-{n}-{}: 1\n", "x".repeat(50))).collect();
    let start = "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec:\n  id: a\n  name: A\n";
    fs::write(folder.path().join("object.yaml"), format!("{start}{keys}")).unwrap();
    let goldpath = |arguments: &[&str]| {
        let mut command = binary("goldpath");
        let output = command.args(arguments).args(["-f", "object.yaml"]).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.len() + output.stderr.len() < 300_000, "{arguments:?} tells too much");
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [text, found] = goldpath(&["validate"]);
    assert_eq!(found, "20000 faults in 1 request\n");
    let told = ["error[unknown-field]", "error[more]: and 19800 more"].map(|head| text.matches(head).count());
    assert_eq!(told, [200, 1]);
    let json: serde_json::Value = serde_json::from_str(&goldpath(&["validate", "--output", "json"])[0]).unwrap();
    assert_eq!((json[199]["line"].as_u64(), json[200]["message"].as_str()), (Some(206), Some("and 19800 more")));
    let json: serde_json::Value = serde_json::from_str(&goldpath(&["run", "--output", "json"])[0]).unwrap();
    assert_eq!(json[0]["faults"].as_array().unwrap().len(), 201);
    let mut step = binary("render");
    step.args(["--input", ".", "--output", "out", "--metadata", "meta"]).current_dir(folder.path());
    let log = String::from_utf8(step.output().unwrap().stdout).unwrap();
    assert_eq!((log.lines().count(), log.lines().last()), (201, Some(": and 19800 more [more]")));
}

#[test]
fn an_endless_stdin_is_not_read_to_its_end() {
    let zeros = fs::File::open("/dev/zero").unwrap();
    let output = binary("goldpath").args(["validate", "-f", "-"]).stdin(Stdio::from(zeros)).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("<stdin>") && printed.contains("MiB"), "{printed}");
}

#[test]
fn a_step_takes_exactly_one_document() {
    for (what, source, expected) in [
        ("two", format!("{SPEC}---\n{SPEC}"), "2 documents instead of one"),
        ("none", "# empty\n".to_owned(), "it is empty"),
        ("no YAML", "a: [".to_owned(), "cannot read the request"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("object.yaml"), source).unwrap();
        let output = binary("render")
            .args(["--input", ".", "--output", "out", "--metadata", "meta"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{what}: {error}");
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!folder.path().join("out").exists(), "{what}: something was written");
    }
}
