//! Tokens on the real Gitea: where they appear, which is nowhere, and what each must be good for.
//!
//! `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, User, admin_token, api, ask, variable};
use crate::support::proxy::{Call, Verdict};
use crate::support::site::{Fault, LIFE, Site, Stage, answer};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Every file below a folder.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { contents(&path) } else { vec![(path.clone(), fs::read(&path).unwrap())] })
        .collect()
}

fn holds(content: &[u8], token: &str) -> bool {
    content.windows(16).any(|window| window == &token.as_bytes()[..16])
}

/// Everything of a process, and of its children, that the machine shows of it.
fn shown_of(process: u32) -> Vec<u8> {
    let read = |name: &str| fs::read(format!("/proc/{process}/{name}")).unwrap();
    let mut shown = ["cmdline", "environ", "status", "maps"].map(read).concat();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    shown.extend(children.split_whitespace().flat_map(|child| shown_of(child.parse().unwrap())));
    shown
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_appears_nowhere() {
    let user = User::new("planted");
    let site = Site::prepared("planted", &json!({}));
    user.own(&site.organization);
    let token = user.token("planted", &["all"]);
    site.write("token", &token);
    let looks = Arc::new(AtomicUsize::new(0));
    let look = || {
        let (wire, token, looks) = (site.wire.clone(), token.clone(), looks.clone());
        let releases = site.organization.path("catalog", "/releases?draft=true");
        Fault::Network(Box::new(move |number, _| {
            let mut shown = shown_of(wire.process());
            if number % 2 == 0 {
                let drafts = api("GET", &releases, &Value::Null).to_string();
                looks.fetch_add(usize::from(drafts.contains("queue/team/people/a")), SeqCst);
                shown.extend(drafts.into_bytes());
            }
            assert!(!holds(&shown, &token));
            Verdict::Forward
        }))
    };
    for Stage { what, prepare, action } in &LIFE[..4] {
        prepare(&site);
        let output = site.run(action, look());
        assert!(output.status.success(), "{what}: {}", crate::support::transcript(&output));
        let output = site.step("track", action, "config.yaml");
        assert!(output.status.success() && !holds(&[output.stdout, output.stderr].concat(), &token), "{what}");
    }
    assert!(looks.load(SeqCst) > 0, "a draft release was looked at");

    // A server that repeats what it was sent, whole or as far as it is told.
    for (status, gap) in [(200, 0), (403, 0), (422, 283), (404, 0), (500, 290), (400, 275)] {
        let fault = move |number: usize, call: &Call| match number {
            3 => answer(
                status,
                &[],
                &json!({"message": format!("{}{}", "x".repeat(gap), call.header("authorization").unwrap()),
                "commit": call.header("authorization"), "tree": call.header("authorization")})
                .to_string(),
            ),
            _ => Verdict::Forward,
        };
        site.ask_for(9);
        site.run("configure", Fault::Network(Box::new(fault)));
    }
    for (name, id) in [("good.yaml", "beta"), ("wrong.yaml", "Beta")] {
        site.write(name, &crate::support::gitea::team(id));
        let run = ["run", "--config", "config.yaml", "--diff", "-f", name];
        let output = crate::support::binary("goldpath").args(run).current_dir(site.folder.path()).output().unwrap();
        assert!(!holds(&[output.stdout, output.stderr].concat(), &token), "{name}");
    }
    for (path, content) in contents(site.folder.path()) {
        assert!(path.ends_with("token") || !holds(&content, &token), "{}", path.display());
    }
    let config =
        goldpath::config::Config::load(Some(&site.folder.path().join("config.yaml")), None, |_| false).unwrap();
    assert!(!holds(format!("{config:?}").as_bytes(), &token));
    for repository in ["catalog", "infrastructure"] {
        let mirror = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            let header = format!("http.extraHeader=Authorization: token {}", admin_token());
            git.current_dir(mirror.path()).env("GIT_SSL_CAINFO", variable("GITEA_CA_FILE"));
            let output = git.args(["-c", &header]).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        git(&["clone", "--mirror", &format!("{}/{}/{repository}", variable("GITEA_URL"), site.organization.0), "."]);
        let objects = git(&["cat-file", "--batch-all-objects", "--batch"]);
        assert!(objects.len() > 1000 && !holds(&objects, &token), "{repository}");
        for rest in ["/pulls?state=all", "/issues/comments", "/releases?draft=true", "/labels"] {
            let said = api("GET", &site.organization.path(repository, rest), &Value::Null).to_string();
            assert!(!holds(said.as_bytes(), &token), "{rest}");
        }
    }
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_process_that_crashes_leaves_no_core() {
    // Only here can a core file be found: elsewhere it goes to a program of the machine's.
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap().trim(), "core");
    let cores = |folder: &Path| contents(folder).iter().filter(|(path, _)| path.ends_with("core")).count();
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -c unlimited; exec -a \"$0\" \"$@\"";
    let crash = ["-c", &format!("{script} & sleep 0.3; kill -SEGV $!; wait"), "sleep", "sleep", "9"];
    Command::new("bash").args(crash).current_dir(folder.path()).status().unwrap();
    assert_eq!(cores(folder.path()), 1, "another program leaves one");
    for signal in [Signal::SEGV, Signal::ABORT] {
        let site = Site::prepared("core", &json!({}));
        site.ask_for(1);
        setrlimit(Resource::Core, Rlimit { current: None, maximum: None }).unwrap();
        let wire = site.wire.clone();
        // At each call, because Rust's own handler takes the first SIGSEGV for an overflow of the stack.
        let crash = move |number, _: &Call| {
            if number >= 3 {
                wire.kill(signal);
            }
            Verdict::Forward
        };
        let output = site.run("configure", Fault::Network(Box::new(crash)));
        assert_eq!(output.status.signal(), Some(signal.as_raw()));
        assert!(!output.status.core_dumped());
        assert_eq!(cores(site.folder.path()), 0);
    }
}

/// Which scopes a token needs: for what, with these settings of each repository and of the configuration.
struct Use {
    what: &'static str,
    scopes: &'static [&'static str],
    step: &'static str,
    remote: Value,
    state: bool,
}

fn uses() -> [Use; 5] {
    let proposed = json!({"delivery": "pull-request", "labels": ["goldpath"]});
    [
        Use {
            what: "to propose, with labels and reviewers",
            scopes: &["write:repository", "write:issue", "read:organization"],
            step: "commit",
            remote: proposed.clone(),
            state: false,
        },
        Use {
            what: "to commit",
            scopes: &["write:repository"],
            step: "commit",
            remote: json!({"delivery": "commit"}),
            state: false,
        },
        Use {
            what: "to make repositories",
            scopes: &["write:organization", "write:repository"],
            step: "commit",
            remote: json!({"delivery": "commit", "create": true}),
            state: false,
        },
        Use { what: "to follow", scopes: &["read:repository"], step: "track", remote: proposed.clone(), state: false },
        Use {
            what: "to follow Terraform too",
            scopes: &["read:repository", "read:package"],
            step: "track",
            remote: proposed,
            state: true,
        },
    ]
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_needs_exactly_these_scopes_and_one_less_is_named() {
    let user = User::new("scopes");
    let reviewer = User::new("reviewer");
    for (number, Use { what, scopes, step, remote, state }) in uses().into_iter().enumerate() {
        let creates = remote["create"] == true;
        let organization = Organization::planned(&format!("scopes-{number}"));
        let remote = |name: &str| {
            let mut remote = remote.clone();
            remote["owner"] = organization.0.as_str().into();
            remote["name"] = name.into();
            if name == "catalog" {
                remote["delivery"] = "commit".into();
            }
            if remote["labels"].is_array() {
                remote["reviewers"] = json!([reviewer.0]);
            }
            remote
        };
        let mut settings =
            json!({"repositories": {"catalog": remote("catalog"), "infrastructure": remote("infrastructure")}});
        if state {
            settings["state"] = json!({"owner": organization.0});
        }
        let site = match creates {
            true => Site::with_settings(organization, &settings),
            false => Site::prepared(&format!("scopes-{number}"), &settings),
        };
        if !creates {
            for repository in ["catalog", "infrastructure"] {
                user.join(&site.organization, repository, "write");
                reviewer.join(&site.organization, repository, "read");
            }
        }
        if state {
            user.own(&site.organization);
        }
        site.ask_for(1);
        if step == "track" {
            site.deliver("configure");
        }
        let run = |scopes: &[&str]| {
            let name = scopes.concat();
            site.write("token", &user.token(&name, scopes));
            let output = match step {
                "commit" => site.run("configure", Fault::None),
                _ => {
                    // What the last run asked for.
                    let _ = fs::remove_file(site.folder.path().join("metadata/workflow-control.yaml"));
                    site.step(step, "configure", "config.yaml")
                }
            };
            user.revoke(&name);
            let text = crate::support::transcript(&output);
            assert!(output.status.success(), "{what} with {scopes:?}: {text}");
            text
        };
        for lacking in scopes {
            // Every token has some scope.
            let less = lacking.strip_prefix("write:").map_or("read:user".to_owned(), |what| format!("read:{what}"));
            let fewer: Vec<_> = scopes.iter().map(|scope| if scope == lacking { &less } else { *scope }).collect();
            let text = run(&fewer);
            assert!(
                text.contains(&format!("the token in token lacks the scope `{lacking}`")),
                "{what} with {fewer:?}: {text}"
            );
        }
        let text = run(scopes);
        assert!(!text.contains("later: ") && !text.contains("failed: "), "{what}: {text}");
    }
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn on_a_protected_branch_one_identity_proposes_and_another_merges() {
    let (writer, merger) = (User::new("writer"), User::new("merger"));
    let site = Site::prepared("protected", &json!({}));
    for repository in ["catalog", "infrastructure"] {
        for user in [&writer, &merger] {
            user.join(&site.organization, repository, "write");
        }
        let rule = json!({
            "rule_name": "main", "enable_push": true, "enable_push_whitelist": true, "push_whitelist_usernames": [merger.0],
            "enable_merge_whitelist": true, "merge_whitelist_usernames": [merger.0], "block_admin_merge_override": true,
        });
        api("POST", &site.organization.path(repository, "/branch_protections"), &rule);
    }
    let proposing = writer.token("writer", &["write:repository", "write:issue", "read:organization"]);
    let merging = merger.token("merger", &["write:repository"]);
    site.write("token", &proposing);
    site.ask_for(1);
    let text = site.fall_behind(Fault::None);
    assert!(text.contains("the token in token may not do this: POST"), "the catalog is written directly: {text}");

    site.write("merging", &merging);
    let config = fs::read_to_string(site.folder.path().join("config.yaml")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["repositories"]["catalog"]["tokenFile"] = "merging".into();
    site.write("config.yaml", &config.to_string());
    site.ask_for(1);
    site.deliver("configure");
    let merge = |token: &str| {
        let path = site.organization.path("infrastructure", "/pulls/1/merge");
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match ask(token, "POST", &path, &json!({"Do": "merge"})) {
                (405, answer) if answer.to_string().contains("try again") && Instant::now() < end => {}
                (status, _) => return status,
            }
        }
    };
    let pushed = json!({"branch": "main", "content": "eA==", "message": "x"});
    let push = site.organization.path("infrastructure", "/contents/x");
    assert_eq!((ask(&proposing, "POST", &push, &pushed).0, merge(&proposing)), (403, 405));
    assert_eq!(merge(&merger.token("reader", &["read:repository", "write:issue"])), 403);
    assert_eq!(merge(&merging), 200);
}
