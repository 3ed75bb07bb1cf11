//! Deliveries to the real Gitea over a network on which one call after the other fails, by processes that are killed.
//!
//! `scripts/run-integration-tests.sh` runs these.
#![expect(clippy::unwrap_used, reason = "a test")]

use crate::support::gitea::{Organization, User, variable};
use crate::support::proxy::{Call, Proxy, Verdict};
use crate::support::site::{Fault, LIFE, Site, Stage, answer, at};
use serde_json::json;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How many deliveries are tried at once.
const TOGETHER: usize = 4;

/// As many calls as a delivery takes less than another of the same, when nobody else writes at the same moment.
const MAY_BE_MISSING: usize = 8;

/// Does a thing with each number from 1, several at once.
fn with_each(last: usize, thing: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(1);
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, SeqCst)).filter(|number| *number <= last) {
                    thing(number);
                }
            });
        }
    });
}

fn assert_same(place: &str, found: &str, expected: &str) {
    let diff = similar::TextDiff::from_lines(expected, found);
    assert!(found == expected, "{place}:\n{}", diff.unified_diff().context_radius(5));
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_process_killed_at_any_call_leaves_nothing_that_the_next_does_not_finish() {
    let site = Site::new("life");
    let undisturbed: Vec<_> = LIFE
        .iter()
        .map(|Stage { prepare, action, .. }| {
            prepare(&site);
            site.deliver(action);
            let calls = site.wire.calls.load(SeqCst);
            (calls, site.state())
        })
        .collect();
    // Before and after each call, or of every ninth such point; how many of them somebody has tried.
    let step = crate::support::whole_or(1, 9);
    let points: Vec<_> = undisturbed.iter().map(|(calls, _)| (AtomicUsize::new(0), 2 * calls)).collect();
    let remain = |(tried, all): &(AtomicUsize, usize)| tried.load(SeqCst) < *all;
    with_each(points.iter().map(|(_, all)| all).sum(), |number| {
        if !points.iter().any(remain) {
            return;
        }
        let site = Site::new(&format!("killed-{number}"));
        for (nth, Stage { what, prepare, action }) in LIFE.iter().enumerate() {
            if !points[nth..].iter().any(remain) {
                return;
            }
            let (tried, all) = &points[nth];
            prepare(&site);
            let before = site.gitea();
            let mut killed = "not killed".to_owned();
            // What has changed nothing needs nobody to finish it: there is room for another.
            while killed == "not killed" || site.gitea() == before {
                let point = tried.fetch_add(step, SeqCst);
                if point >= *all {
                    break;
                }
                let (at, answered) = (point / 2 + 1, point % 2 == 1);
                killed = format!("killed at call {at} (answered: {answered}) of {what}");
                let output = site.run(action, Fault::Kill { at, answered });
                if output.status.success() && at > all / 2 - MAY_BE_MISSING {
                    // A race that was won at once takes fewer calls than one that the undisturbed run lost.
                    break;
                }
                assert_eq!(output.status.signal(), Some(9), "{killed}: {}", crate::support::transcript(&output));
                // Kratix has a new Pod; `goldpath run` keeps the folder.
                if answered {
                    site.renew();
                }
            }
            site.deliver(action);
            assert_same(&killed, &site.state(), &undisturbed[nth].1);
        }
    });
    assert!(!points.iter().any(remain));
}

type Trouble = (&'static str, fn() -> Verdict);

/// What a network and a server in trouble do that passes.
const TROUBLE: [Trouble; 10] = [
    ("a connection cut before", || Verdict::CutBefore),
    ("500", || answer(500, &[], "")),
    ("502", || answer(502, &[], "<html>Bad Gateway</html>")),
    ("507", || answer(507, &[], r#"{"message":"no space left on device"}"#)),
    ("429", || answer(429, &[], "")),
    ("429 with Retry-After", || answer(429, &[("Retry-After", "1")], "")),
    ("409", || answer(409, &[], r#"{"message":"conflict"}"#)),
    ("405", || answer(405, &[], r#"{"message":"Please try again later"}"#)),
    ("a hang", || Verdict::Hang(Duration::from_secs(30))),
    ("a connection cut after", || Verdict::CutAfter),
];

/// A site that is asked for a Team, and what it holds after an undisturbed run that takes so many calls.
fn undisturbed(name: &str) -> (usize, String) {
    let site = Site::prepared(name, &json!({}));
    site.ask_for(1);
    site.deliver("configure");
    (site.wire.calls.load(SeqCst), site.state())
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn every_trouble_at_any_call_passes() {
    let (calls, expected) = undisturbed("trouble");
    thread::scope(|scope| {
        for at in (1..=calls).step_by(crate::support::whole_or(1, 5)) {
            let expected = &expected;
            scope.spawn(move || {
                let patient = json!({"retries": 30, "deadlineSeconds": 600, "callSeconds": 10});
                let site = Site::prepared(&format!("trouble-{at}"), &patient);
                site.ask_for(1);
                let (met, troubles) = (Mutex::new(None), Arc::new(AtomicUsize::new(0)));
                let count = troubles.clone();
                // Where a run has tried again, the call is known by what it asks.
                let fault = move |number: usize, call: &Call| {
                    let asked = (call.method.clone(), call.path.clone());
                    let mut met = met.lock().unwrap();
                    if number == at {
                        *met = Some(asked.clone());
                    }
                    if *met != Some(asked) {
                        return Verdict::Forward;
                    }
                    let next = TROUBLE.get(count.fetch_add(1, SeqCst));
                    next.map_or(Verdict::Forward, |(_, trouble)| trouble())
                };
                let output = site.run("configure", Fault::Network(Box::new(fault)));
                let text = crate::support::transcript(&output);
                assert!(output.status.success() && !text.contains("later: "), "call {at}: {text}");
                assert!(troubles.load(SeqCst) >= TROUBLE.len(), "call {at}: {troubles:?}");
                assert_same(&format!("trouble at call {at}"), &site.state(), expected);
                site.renew();
                site.deliver("configure");
                assert_same(&format!("a run after trouble at call {at}"), &site.state(), expected);
            });
        }
    });
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn trouble_that_stays_ends_with_a_message_and_the_next_run_finishes() {
    let (calls, expected) = undisturbed("stays");
    with_each(TROUBLE.len(), |number| {
        let (what, trouble) = TROUBLE[number - 1];
        let hasty = json!({"retries": 2, "deadlineSeconds": 10, "callSeconds": 9});
        let site = Site::prepared(&format!("stays-{number}"), &hasty);
        site.ask_for(1);
        // Gitea is gone from there on: at the first call, in the middle, at the last.
        for from in [1, calls / 2, calls] {
            let fault = move |number, _: &Call| if number < from { Verdict::Forward } else { trouble() };
            let text = site.fall_behind(Fault::Network(Box::new(fault)));
            assert!(text.contains(&format!("Gitea at {}", site.proxy.url())), "{what}: {text}");
            let took = *site.took.lock().unwrap();
            assert!(took < Duration::from_secs(11), "{what}: {took:?}");
            site.renew();
        }
        let config = fs::read_to_string(site.folder.path().join("config.yaml")).unwrap();
        site.write("config.yaml", &config.replace(r#""deadlineSeconds":10"#, r#""deadlineSeconds":300"#));
        site.deliver("configure");
        assert_same(what, &site.state(), &expected);
    });
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_may_change_or_be_revoked_in_the_middle() {
    let user = Arc::new(User::new("rotated"));
    let site = Site::prepared("rotated", &json!({}));
    user.own(&site.organization);
    let calls = undisturbed("rotated-not").0;
    for call in (1..=calls).step_by(crate::support::whole_or(1, 5)) {
        let (old, new) = (format!("old-{call}"), user.token(&format!("new-{call}"), &["all"]));
        site.write("token", &user.token(&old, &["all"]));
        site.ask_for(u64::try_from(call).unwrap());
        let (owner, file) = (user.clone(), site.folder.path().join("token"));
        let output = site.run(
            "configure",
            at(call, move || {
                fs::write(&file, &new).unwrap();
                owner.revoke(&old);
            }),
        );
        let text = crate::support::transcript(&output);
        assert!(output.status.success() && !text.contains("later: "), "call {call}: {text}");
    }
    site.write("token", &user.token("last", &["all"]));
    site.ask_for(99);
    let owner = user.clone();
    let text = site.fall_behind(at(3, move || owner.revoke("last")));
    assert!(text.contains("Gitea refuses the token in token"), "{text}");
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_is_sent_to_the_configured_server_only() {
    let site = Site::prepared("redirect", &json!({}));
    let other = Proxy::start("http://127.0.0.1:1", None, |_| answer(200, &[], "{}"), |_| {});
    for status in [301, 302, 307, 308] {
        for call in [1, 5] {
            let place = format!("{}/api/v1/elsewhere", other.url().replace("127.0.0.1", "localhost"));
            let fault = move |number: usize, _: &Call| match number {
                _ if number == call => answer(status, &[("Location", &place)], ""),
                _ => Verdict::Forward,
            };
            site.ask_for(1);
            let text = site.fall_behind(Fault::Network(Box::new(fault)));
            assert!(text.contains("answers with a redirect to localhost, which is not followed"), "{text}");
        }
    }
    assert_eq!(other.calls().len(), 0);
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_server_that_cannot_be_trusted_or_reached_is_told_apart() {
    let gitea = |url: &str, authority: Option<&str>| {
        let mut gitea = json!({"url": url, "tokenFile": "token"});
        gitea["caFile"] = authority.into();
        gitea.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        json!({"gitea": gitea, "retries": 0})
    };
    let url = variable("GITEA_URL");
    for (settings, expected) in [
        (gitea(&url, None), "signed by an authority that is not known here: name its file as `gitea.caFile`"),
        (gitea(&url, Some("render.yaml")), "cannot use render.yaml, which is `gitea.caFile`: it holds no certificate"),
        (gitea(&url, Some("nowhere")), "cannot read nowhere"),
        (gitea("http://10.245.0.1:3443", None), "`gitea.url` would send the token in the clear"),
        (gitea("http://127.0.0.1:1", None), "Gitea at http://127.0.0.1:1/ does not answer: Connection refused"),
    ] {
        let site = Site::with_settings(Organization::planned("untrusted"), &settings);
        site.ask_for(1);
        let text = site.fall_behind(Fault::None);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
