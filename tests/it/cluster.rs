//! The platform's configuration, from the real API server.
//!
//! `scripts/run-contract-tests.sh` runs these: `tests/contract/kubernetes/platform.mjs` makes the
//! accounts and objects, and says in the environment where the API server is, with
//! - `GOLDPATH_TEST_BOUND`, `GOLDPATH_TEST_UNBOUND`: folders as a Pod has one, of an account with the
//!   rights of a Promise's Pipeline, and of one with none;
//! - `GOLDPATH_TEST_HELD`: a folder with the keys of the objects as files.
#![expect(clippy::unwrap_used, reason = "a test")]

use goldpath::cluster::{Resource, ServiceAccount};
use goldpath::config::{Config, Remote};
use goldpath::outputs::Role;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(variable: &str) -> PathBuf {
    let value = std::env::var(variable);
    value.unwrap_or_else(|_| panic!("{variable} is not set: platform.mjs sets it")).into()
}

fn account(folder: &Path) -> ServiceAccount {
    ServiceAccount::find(folder).expect("an account, and KUBERNETES_SERVICE_HOST and _PORT")
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A folder as a Pod has one, with this content.
fn pod(token: &str, authority: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), token).unwrap();
    fs::write(folder.path().join("ca.crt"), authority).unwrap();
    folder
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn a_step_gets_what_the_platform_holds() {
    let account = account(&folder("GOLDPATH_TEST_BOUND"));
    let held = folder("GOLDPATH_TEST_HELD");
    assert_eq!(account.config_map().unwrap(), files(&held.join("configmaps")));
    let secret = files(&held.join("secrets"));
    assert_eq!(account.secret().unwrap(), secret);

    let config = Config::load(None, Some(account), |_| false).unwrap();
    let Remote::Gitea(catalog) = &config.repositories[&Role::Catalog] else { panic!("{config:?}") };
    assert_eq!(catalog.token.read().unwrap(), secret["token"]);
    assert!(!format!("{config:?}").contains(std::str::from_utf8(&secret["token"]).unwrap()), "{config:?}");
}

/// Runs before the Secret is there.
#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn missing_secret_comes_with_how_to_make_it() {
    let error = account(&folder("GOLDPATH_TEST_BOUND")).secret().unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "there is no Secret `goldpath-gitea` in the namespace `goldpath-system`: \
         manifests/platform/README.md says how to create it"
    );
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn a_step_finds_the_teams_that_one_refers_to_and_may_list_nothing_else() {
    let bound = account(&folder("GOLDPATH_TEST_BOUND"));
    let resource = |group: &str, plural: &str| Resource {
        group: group.to_owned(),
        version: if group == "apps" { "v1" } else { "v1alpha1" }.to_owned(),
        plural: plural.to_owned(),
    };
    let teams = resource("platform.kratix.io", "teams");
    let count = |account: &ServiceAccount, resource: &Resource, field: &str, value: &str| {
        let mut found = 0;
        account.list(resource, None, Some((field, value)), |_| {
            found += 1;
            Ok(())
        })?;
        anyhow::Ok(found)
    };
    let has = |value: &str| count(&bound, &teams, "spec.id", value).unwrap() > 0;
    assert_eq!(
        [has("contract-parent"), has("contract-nobody"), has("a,spec.id=contract-parent")],
        [true, false, false]
    );
    let missing = count(&bound, &resource("platform.kratix.io", "nothings"), "spec.id", "a").unwrap_err();
    let rights = "the Promise's Pipeline needs rbac.permissions for it: see promises/team/promise.yaml";
    let namespace = fs::read_to_string(folder("GOLDPATH_TEST_UNBOUND").join("namespace")).unwrap();
    assert!(format!("{missing:#}").ends_with(&format!("may not list nothings.platform.kratix.io: {rights}")));
    let refused = count(&account(&folder("GOLDPATH_TEST_UNBOUND")), &teams, "spec.id", "a").unwrap_err();
    let who = format!("the service account `unbound` of the namespace `{namespace}`");
    assert_eq!(format!("{refused:#}"), format!("{who} may not list teams.platform.kratix.io: {rights}"));
    assert!(count(&bound, &resource("apps", "deployments"), "metadata.name", "a").is_err());
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn an_account_without_rights_is_named_with_what_it_needs() {
    let folder = folder("GOLDPATH_TEST_UNBOUND");
    let namespace = fs::read_to_string(folder.join("namespace")).unwrap();
    let account = account(&folder);
    let refused = |object: &str| {
        format!(
            "the service account `unbound` of the namespace `{namespace}` may not get the {object} in the namespace \
             `goldpath-system`: the Promise's Pipeline needs rbac.permissions for it: see promises/team/promise.yaml"
        )
    };
    assert_eq!(format!("{:#}", account.config_map().unwrap_err()), refused("ConfigMap `goldpath`"));
    assert_eq!(format!("{:#}", account.secret().unwrap_err()), refused("Secret `goldpath-gitea`"));
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn a_token_that_the_server_does_not_know_is_not_shown() {
    let authority = fs::read(folder("GOLDPATH_TEST_BOUND").join("ca.crt")).unwrap();
    let pod = pod("planted-5ecret-t0ken", &authority);
    let account = account(pod.path());
    let error = account.secret().unwrap_err();
    let expected = format!(
        "cannot get the Secret `goldpath-gitea` in the namespace `goldpath-system`: \
         the API server does not accept the token in `{}`",
        pod.path().join("token").display()
    );
    assert_eq!(format!("{error:#}"), expected);
    assert!(!format!("{error:?} {account:?}").contains("planted"), "{error:?} {account:?}");
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn a_server_whose_certificate_nobody_knows_gets_no_token() {
    let token = fs::read_to_string(folder("GOLDPATH_TEST_BOUND").join("token")).unwrap();
    let pod = pod(&token, b"");
    let error = format!("{:#}", account(pod.path()).secret().unwrap_err());
    assert!(error.starts_with("cannot get the Secret `goldpath-gitea`"), "{error}");
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    assert!(!error.contains(&token), "{error}");
}

#[test]
#[ignore = "needs an API server: scripts/run-contract-tests.sh"]
fn a_pod_without_a_token_has_no_account() {
    let pod = pod("", b"");
    fs::remove_file(pod.path().join("token")).unwrap();
    assert!(ServiceAccount::find(pod.path()).is_none());
}
