//! Makes a repository that is missing, where the configuration allows it.

use super::{Api, BASE64, Failure, On, Operation};
use crate::gitea::Nothing;
use crate::outcome::Delivery;
use base64::Engine;
use reqwest::Method;
use serde_json::json;

/// The files of the first commit.
const FIRST: [(&str, &str); 1] = [("README.md", include_str!("../../../pipelines/gitea/README.md"))];

/// Makes the repository, and its organisation where that is missing too. Who comes second finds
/// what the first has made.
pub fn repository(api: &Api) -> Result<(), Failure> {
    let (owner, name) = (api.remote.owner.as_str(), api.remote.name.as_str());
    if api.gitea.get::<Nothing>(&["orgs", owner], &[])?.is_none() {
        exists(api.gitea.send(Method::POST, &["orgs"], &json!({"username": owner, "visibility": "private"})))?;
    }
    let repository = json!({"name": name, "private": true, "default_branch": api.remote.branch.as_str()});
    exists(api.gitea.send(Method::POST, &["orgs", owner, "repos"], &repository))
}

fn exists(made: Result<Nothing, Failure>) -> Result<(), Failure> {
    match made {
        Ok(_) | Err(Failure::Conflict(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Makes the first commit, and gives its id.
pub fn first_commit(api: &Api, delivery: &Delivery) -> Result<String, Failure> {
    let operations = FIRST.map(|(path, content)| Operation {
        operation: "create",
        path,
        content: Some(BASE64.encode(content)),
        sha: None,
    });
    Ok(api.commit(On::Base, &operations, "goldpath: make the repository", delivery)?.sha)
}
