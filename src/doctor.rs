//! What keeps a platform from its first delivery, before anybody tries: the servers of a configuration are asked, and nothing is
//! written there.
//!
//! Whether a token may write is asked by calls that Gitea refuses for what they lack, after it has looked at the token.

use crate::config::{Config, Delivery, GiteaRemote, Remote};
use crate::gitea::{Failure, Gitea};
use crate::outputs::Role;
use crate::platform::{
    APPROVALS, OLDEST, ORGANIZE, PLAN, PRIVATE, PROPOSE, Right, WRITE, is_recent, may_post, version,
};
use crate::repository::can_be_read;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;

/// What was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, as `catalog`.
    pub about: String,
    /// What is so.
    pub what: String,
    /// What to do; nothing where all is well.
    pub remedy: Option<String>,
}

/// Everything that was found, the good too.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &str, what: impl Into<String>) {
        self.0.push(Finding { about: about.to_owned(), what: what.into(), remedy: None });
    }

    fn wrong(&mut self, about: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { about: about.to_owned(), what: what.into(), remedy: Some(remedy.into()) });
    }
}

#[derive(Deserialize)]
struct Repository {
    empty: bool,
    private: bool,
    archived: bool,
    has_releases: bool,
    has_pull_requests: bool,
    permissions: Permissions,
}

#[derive(Deserialize)]
struct Permissions {
    push: bool,
}

#[derive(Deserialize)]
struct Branch {
    protected: bool,
    required_approvals: i64,
    enable_status_check: bool,
    status_check_contexts: Option<Vec<String>>,
    user_can_push: bool,
}

impl Branch {
    fn needs_plan(&self) -> bool {
        self.enable_status_check && self.status_check_contexts.iter().flatten().any(|context| context == PLAN)
    }
}

/// A team, or a user.
#[derive(Deserialize)]
struct Named {
    #[serde(alias = "login")]
    name: String,
}

#[derive(Deserialize)]
struct Organization {
    visibility: String,
}

/// Looks at everything that a configuration names.
pub fn examine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    for role in Role::ALL {
        let about = role.as_str();
        match config.repositories.get(&role) {
            None => findings.wrong(about, "no repository is named", format!("add `repositories.{about}`")),
            Some(Remote::Git(remote)) => match can_be_read(remote) {
                Ok(()) => findings.good(about, format!("{} can be read", remote.url)),
                Err(error) => {
                    findings.wrong(about, format!("{error:#}"), "see its URL, its token, and whether it is there")
                }
            },
            Some(Remote::Gitea(remote)) => match Gitea::open(remote, config.patience.call) {
                Ok(gitea) => {
                    let is_reviewed = config.review.is_some();
                    let mut look = Look { findings: &mut findings, gitea, remote, about, is_reviewed };
                    if look.server() {
                        look.repository();
                        if role.has_root_modules() {
                            look.states(config);
                        }
                    }
                }
                Err(error) => findings.wrong(about, format!("{error:#}"), "see `gitea.tokenFile`, `gitea.caFile`"),
            },
        }
    }
    findings
}

/// One repository in Gitea, by its identity.
struct Look<'l> {
    findings: &'l mut Findings,
    gitea: Gitea,
    remote: &'l GiteaRemote,
    about: &'l str,
    /// Whether what is proposed is planned before it is merged.
    is_reviewed: bool,
}

impl Look<'_> {
    /// Whether the server answers and knows the token.
    fn server(&mut self) -> bool {
        let server = &self.remote.server;
        match version(&self.gitea) {
            Ok(Some(version)) => {
                let what = format!("Gitea {version} answers at {server}");
                match is_recent(&version) {
                    true => self.findings.good(self.about, what),
                    false => self.findings.wrong(self.about, what, format!("update it to {OLDEST} or later")),
                }
                true
            }
            Ok(None) => {
                self.findings.wrong(self.about, format!("no Gitea is at {server}"), "see `gitea.url`");
                false
            }
            Err(failure) => {
                let remedy = "see `gitea.url`, the certificate authority in `gitea.caFile`, and the token";
                self.findings.wrong(self.about, format!("{server}: {failure}"), remedy);
                false
            }
        }
    }

    fn repository(&mut self) {
        let (remote, about) = (self.remote, self.about);
        let repository = match self.gitea.get::<Repository>(&path(remote, &[]), &[]) {
            Ok(Some(repository)) => repository,
            Ok(None) if remote.create => {
                self.findings.good(about, format!("{remote} is made with the first delivery"));
                return self.may(&["orgs"], &ORGANIZE);
            }
            Ok(None) => {
                let remedy =
                    "have it made, set `create: true`, or give the token's user and the token `read:repository` there";
                return self.findings.wrong(about, format!("{remote} is not there, or not for this token"), remedy);
            }
            Err(failure) => {
                return self.findings.wrong(about, format!("{remote}: {failure}"), "see the token and its scopes");
            }
        };
        if repository.archived {
            let remedy = "have it unarchived, or name another";
            // Whatever else is asked for there is refused for that.
            return self.findings.wrong(about, format!("{remote} is archived"), remedy);
        }
        if !repository.permissions.push {
            let remedy = "make the token's user a collaborator who may write";
            self.findings.wrong(about, format!("the token's user may not write {remote}"), remedy);
        } else {
            self.findings.good(about, format!("{remote} is there, and the token's user may write it"));
        }
        let proposes = remote.delivery == Delivery::PullRequest;
        // Who commits writes releases too, by which writers take turns.
        self.may(&path(remote, &[if proposes { "branches" } else { "releases" }]), &WRITE);
        if proposes {
            self.may(&path(remote, &["issues"]), &PROPOSE);
            self.reviewers(repository.private);
        }
        if proposes && !repository.has_pull_requests {
            self.findings.wrong(about, "it has no pull requests", "enable them in the repository's settings");
        }
        if !proposes && !repository.has_releases {
            let remedy = "enable them in the repository's settings: without them manifests wait for a commit";
            self.findings.wrong(about, "it has no releases", remedy);
        }
        match repository.empty {
            true if remote.create || !proposes => {
                self.findings.good(about, "its first commit is made with the first delivery")
            }
            true => self.findings.wrong(about, "it is empty", "have its first commit made, or set `create: true`"),
            false => self.branch(proposes),
        }
    }

    /// Whether those may read it who are asked for a review: Gitea opens no pull request that names anybody else.
    fn reviewers(&mut self, is_private: bool) {
        let (remote, about) = (self.remote, self.about);
        let names = |what: &str| -> Result<BTreeSet<String>, Failure> {
            let all: Vec<Named> = self.gitea.get_all(&path(remote, &[what]), &[])?;
            Ok(all.into_iter().map(|found| found.name.to_lowercase()).collect())
        };
        let asked = [
            ("reviewers", "reviewers", "user", &remote.reviewers),
            ("teamReviewers", "teams", "team", &remote.team_reviewers),
        ];
        for (key, what, who, wanted) in asked.into_iter().filter(|(.., wanted)| !wanted.is_empty()) {
            let known = match names(what) {
                Ok(known) => known,
                Err(failure) => {
                    self.findings.wrong(about, format!("who may review it: {failure}"), "see the token and its scopes");
                    continue;
                }
            };
            for name in wanted.iter().filter(|name| !known.contains(&name.as_str().to_lowercase())) {
                // What is public everybody may read; whose list is shorter.
                let is_public = !is_private && who == "user";
                if is_public && matches!(self.gitea.get::<IgnoredAny>(&["users", name.as_str()], &[]), Ok(Some(_))) {
                    continue;
                }
                let what = format!("the {who} `{name}` is not there, or may not read it");
                let key = format!("repositories.{about}.{key}");
                self.findings.wrong(about, what, format!("correct `{key}`, or give it read access"));
            }
        }
    }

    fn branch(&mut self, proposes: bool) {
        let (branch, about) = (self.remote.branch.as_str(), self.about);
        match self.gitea.get::<Branch>(&path(self.remote, &["branches", branch]), &[]) {
            Ok(Some(found)) => match (proposes, found.protected) {
                (true, false) => {
                    let remedy = "protect it, with an approval and the status checks of docs/review.md: who may write the \
                                  repository can push past the review";
                    self.findings.wrong(about, format!("`{branch}` is not protected"), remedy);
                }
                (true, true) if found.user_can_push => {
                    let remedy = "take it off the push list: nothing that it proposes needs that";
                    self.findings.wrong(about, format!("the token's user may push to `{branch}`"), remedy);
                }
                (true, true) if self.is_reviewed && !found.needs_plan() => {
                    let what = format!("`{branch}` can be merged without the status `{PLAN}`");
                    self.findings.wrong(
                        about,
                        what,
                        "have its protection require it, as `goldpath platform setup` does",
                    );
                }
                (true, true) => {
                    let what = format!("`{branch}` is protected, and needs {} approvals", found.required_approvals);
                    match found.required_approvals >= APPROVALS {
                        true => self.findings.good(about, what),
                        false => self.findings.wrong(about, what, "require one at least"),
                    }
                }
                (false, true) if !found.user_can_push => {
                    let remedy = "put it on the push list of the protection";
                    self.findings.wrong(about, format!("the token's user may not push to `{branch}`"), remedy);
                }
                (false, _) => self.findings.good(about, format!("the token's user may push to `{branch}`")),
            },
            Ok(None) => {
                self.findings.wrong(about, format!("it has no branch `{branch}`"), "name another, or have it made")
            }
            Err(failure) => self.findings.wrong(about, failure.to_string(), "see the token and its scopes"),
        }
    }

    /// Where Terraform's states are.
    fn states(&mut self, config: &Config) {
        let Some(owner) = config.state_owner.as_ref() else { return };
        let about = "state";
        match self.gitea.get::<Organization>(&["orgs", owner.as_str()], &[]) {
            Ok(Some(Organization { visibility })) if visibility == PRIVATE => {
                self.findings.good(about, format!("the organisation `{owner}` is there, and private"));
            }
            Ok(Some(_)) => {
                let remedy = "make it private: Terraform's states hold what nobody else should read";
                self.findings.wrong(about, format!("the organisation `{owner}` is not private"), remedy);
            }
            Ok(None) => {
                let remedy = "have it made, private, with the token's user in it";
                self.findings.wrong(
                    about,
                    format!("the organisation `{owner}` is not there, or not for this token"),
                    remedy,
                );
            }
            Err(failure) => {
                self.findings.wrong(about, failure.to_string(), "give the token the scope `read:organization`")
            }
        }
    }

    /// Whether the token may do something.
    fn may(&mut self, path: &[&str], right: &Right) {
        match may_post(&self.gitea, path) {
            Ok(()) => self.findings.good(self.about, format!("the token may {}", right.what)),
            Err(failure) => {
                let remedy = format!("give it the scope `{}`, and its user the rights", right.scope);
                self.findings.wrong(self.about, format!("the token may not {}: {failure}", right.what), remedy);
            }
        }
    }
}

/// The path of something of a repository.
fn path<'p>(remote: &'p GiteaRemote, rest: &[&'p str]) -> Vec<&'p str> {
    [&["repos", remote.owner.as_str(), remote.name.as_str()], rest].concat()
}
