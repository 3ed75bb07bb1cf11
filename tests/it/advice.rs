//! What a fault advises is right: who does it has no fault any more. Every help text of the golden cases is here.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::binary;
use std::collections::BTreeSet;
use std::fs;

/// What is wrong, what is advised, and what somebody writes who follows it: each as what stands under `spec`, after an `id` and
/// a `name` that are right, or as a whole request.
const ADVICE: [(&str, &str, &str); 29] = [
    ("description: 7", "put it in quotes", "description: '7'"),
    ("description: no", "put it in quotes; for a boolean", "description: 'no'"),
    ("quota: {cpu: 1.5}", "put it in quotes", "quota: {cpu: '1.5'}"),
    ("nmae: x", "the fields are `id`, `name`, `email`", "email: x@y.example"),
    ("descriptoin: x", "did you mean `description`?", "description: x"),
    ("email: a..b@company.com", "write it as in `alpha@company.com`", "email: alpha@company.com"),
    ("members: [{username: a}, {username: A}]", "keep one of the two", "members: [{username: a}]"),
    ("allowNetworkFrom: [a, a]", "keep one of the two", "allowNetworkFrom: [a]"),
    (
        "allowNetworkFrom: beta gamma",
        "write `[\"beta\", \"gamma\"]`, each by itself",
        "allowNetworkFrom: [beta, gamma]",
    ),
    ("members: [{role: admin}]", "add `username:`", "members: [{role: admin, username: a}]"),
    (
        "members: [{username: a, nmae: b}]",
        "the fields are `username`, `role`",
        "members: [{username: a, role: viewer}]",
    ),
    ("members: [{username: a b}]", "use letters, digits, and single `-`, `_` or `.`", "members: [{username: a_b-c.d}]"),
    (
        "members: [{username: a, role: boss}]",
        "use `admin`, `maintainer`, `developer`, `viewer`",
        "members: [{username: a, role: admin}]",
    ),
    ("quota: {cpu: lots}", "as in `4`, `500m`, `1.5`", "quota: {cpu: '1.5'}"),
    ("quota: {memory: 512m}", "did you mean `512Mi`?", "quota: {memory: 512Mi}"),
    ("quota: {memory: 8GB}", "as in `512Mi`, `8Gi`, `1.5G`", "quota: {memory: 1.5G}"),
    ("quota: {disk: 1Gi}", "the fields are `cpu`, `memory`, `storage`, `pods`", "quota: {storage: 1Gi}"),
    ("description: \"two\\nlines\"", "in the next behind `>-`", "description: >-\n    two\n    lines"),
    ("visibility: hidden", "use `public`, `limited`, `private`", "visibility: limited"),
    ("parent: beta\n  allowNetworkFrom: [alpha]", "name another Team", "allowNetworkFrom: [beta]"),
    ("parent: api", "use another, such as `api-team`", "parent: api-team"),
    ("parent: Team_A", "as in `team-alpha`", "parent: team-alpha"),
    ("parent: a\n  parent: b", "keep one of them", "parent: b"),
    (
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {namespace: A_b, name: A_b}\nspec: {id: a, name: ''}",
        "use a-z, 0-9 and `-`, beginning and ending with a letter or digit",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {namespace: a-b, name: a-b.c}\nspec: {id: a, name: b}",
    ),
    (
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a, namspace: b}\nspec: {id: a, name: b}",
        "the fields are `name`, `namespace`, `generation`",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a, namespace: b}\nspec: {id: a, name: b}",
    ),
    (
        "apiVersion: v1\nkind: Teem\nspec: {}",
        "use `platform.kratix.io/v1alpha1`",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: b}",
    ),
    (
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Teem\nmetadata: {}\nspec: {}\nspecs: {}",
        "use `Team`",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: b}\nstatus: {}",
    ),
    (
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: '\u{3164}'}",
        "write a name that people know",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: Alpha}",
    ),
    (
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}",
        "add `spec:`",
        "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: a}\nspec: {id: a, name: b}",
    ),
];

/// What is no advice about what to write, or advises it of a length: its tests are those of what it is about.
const OTHER: [&str; 6] = [
    "right if it was applied before",
    "use another id, or delete that request first",
    "put the old one back",
    "use 0 to 255 characters",
    "use a-z, 0-9, `-` and `.`",
    "the fields are `apiVersion`",
];

fn validate(text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let request = match text.starts_with("apiVersion") {
        true => text.to_owned(),
        false => format!(
            "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {{name: a}}\nspec:\n  id: alpha\n  name: Alpha\n  {text}\n"
        ),
    };
    fs::write(folder.path().join("request.yaml"), request).unwrap();
    let output = binary("goldpath").current_dir(folder.path()).args(["validate", "request.yaml"]).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn who_follows_an_advice_has_no_fault_any_more() {
    for (wrong, advice, right) in ADVICE {
        let (is_right, told) = validate(wrong);
        assert!(!is_right && told.contains("= help: ") && told.contains(advice), "{wrong}: {told}");
        let (is_right, told) = validate(right);
        assert!(is_right, "{wrong}: who writes {right} hears: {told}");
    }
}

#[test]
fn every_advice_of_the_golden_cases_is_followed() {
    let mut told = BTreeSet::new();
    for case in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/promises/team/cases")).unwrap() {
        let printed = fs::read_to_string(case.unwrap().path().join("expected/printed.txt")).unwrap();
        told.extend(printed.lines().filter_map(|line| Some(line.trim().strip_prefix("= help: ")?.to_owned())));
    }
    let general =
        |help: &str| help.starts_with("add `") || help.starts_with("did you mean") || help.starts_with("it is first");
    let known = |help: &str| {
        general(help)
            || ADVICE.iter().any(|(_, advice, _)| help.contains(advice))
            || OTHER.iter().any(|o| help.starts_with(o))
    };
    let unknown: Vec<_> = told.iter().filter(|help| !known(help)).collect();
    assert!(told.len() > 25 && unknown.is_empty(), "nobody follows {unknown:?}");
}
