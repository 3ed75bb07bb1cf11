//! The manifests of a Team give rights to the groups of an organisation that Terraform makes later. So nobody gets them
//! whose organisation has the name already, or gets it meanwhile.

use super::*;
use crate::support::gitea::Organization;
use crate::support::site::{Fault, Site, answer};
use crate::support::team;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The request, in a new Pod.
fn ask_for(site: &Site, id: &str) {
    let metadata = json!({"name": "a", "namespace": "people", "generation": 1});
    let mut object = team(metadata, json!({"id": id, "name": "A Team"}));
    object["status"] = site.metadata("status.yaml");
    site.write("input/object.yaml", &object.to_string());
    site.renew();
}

/// Runs a Pipeline on it, and gives what it says, its status, and whether Kratix is asked to leave things as they are.
fn run(site: &Site, id: &str, pipeline: &str) -> (String, Value, bool) {
    ask_for(site, id);
    let output = site.step(pipeline, "configure", "config.yaml");
    let text = crate::support::transcript(&output);
    assert!(output.status.success(), "{text}");
    (text, site.metadata("status.yaml"), site.metadata("workflow-control.yaml")["retryAfter"].is_string())
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn nobody_gets_a_teams_rights_by_making_its_organisation_first() {
    let site = Site::prepared("groups", &json!({"retries": 0}));
    let id = format!("goldpath-test-groups-team-{}", std::process::id());
    // The least that the one who delivers may do: it sees no private organisation.
    let (writer, stranger) = (User::new("groups-writer"), User::new("groups-stranger"));
    for repository in ["catalog", "infrastructure"] {
        writer.join(&site.organization, repository, "write");
    }
    site.write("token", &writer.token("t", &["write:repository", "write:issue", "read:organization"]));
    let stranger = stranger.token("t", &["write:organization"]);
    let make_first = || {
        let organization = json!({"username": id.to_uppercase(), "visibility": "private"});
        let (status, answer) = ask(&stranger, "POST", "/orgs", &organization);
        assert_eq!(status, 201, "{answer}");
        Organization(id.clone())
    };
    let in_gitea = || {
        let get = |rest: &str| api("GET", &site.organization.path("catalog", rest), &Value::Null);
        let releases = get("/releases?draft=true").as_array().unwrap().len();
        (releases, site.organization.branches("infrastructure").len(), site.organization.pulls("infrastructure").len())
    };
    let refused = |(said, status, held): (String, Value, bool)| {
        let fault = &status["goldpath"]["violations"][0];
        assert!(held && said.contains(&format!("refused: `{id}` is in Gitea already")), "{said}");
        assert_eq!((&fault["rule"], &fault["path"]), (&json!("organization-exists"), &json!("spec.id")), "{status}");
    };

    // It is there: no manifest goes out, because Kratix is asked to leave things as they are, and nothing is written.
    let foreign = make_first();
    refused(run(&site, &id, "claim"));
    assert_eq!(in_gitea(), (0, 1, 0));
    let said = site.step("claim", "configure", "config.yaml");
    assert!(crate::support::transcript(&said).contains("refused: "), "again, in the same Pod");

    // A Gitea that does not answer has not said that the name is free.
    let asked = Arc::new(AtomicBool::new(false));
    let seen = asked.clone();
    site.disturb(Fault::Network(Box::new(move |_, call| {
        let asks = call.path.contains("/collaborators/");
        seen.fetch_or(asks, Ordering::SeqCst);
        if asks { answer(502, &[], "") } else { crate::support::proxy::Verdict::Forward }
    })));
    let (said, _, held) = run(&site, &id, "claim");
    assert!(held && said.contains("later: cannot deliver to ") && asked.load(Ordering::SeqCst), "{said}");
    site.disturb(Fault::None);
    drop(foreign);

    // It is gone, so the name is free: the request is proposed.
    let (said, _, held) = run(&site, &id, "claim");
    assert!(!held && !said.contains("refused"), "{said}");
    let (said, status, _) = run(&site, &id, "deliver");
    assert_eq!(status["goldpath"]["phase"], "awaiting-review", "{said} {status}");
    assert_eq!(site.organization.pulls("infrastructure").len(), 1);

    // While that waits somebody is faster than Terraform: the next look says so.
    let taken = make_first();
    refused(run(&site, &id, "deliver"));

    // On the branch, it is the request's own: Terraform has made it, or says that it cannot.
    site.merge_the_last();
    let (said, _, held) = run(&site, &id, "claim");
    assert!(!held && !said.contains("refused"), "{said}");

    // Deleted, the request has it no more, from the merge until Terraform has destroyed it.
    ask_for(&site, &id);
    site.step("delete", "delete", "config.yaml");
    site.merge_the_last();
    refused(run(&site, &id, "claim"));
    drop(taken);
    let (said, _, held) = run(&site, &id, "claim");
    assert!(!held && !said.contains("refused"), "{said}");
}
