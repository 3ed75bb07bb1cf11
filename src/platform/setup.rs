//! Makes in Gitea what delivery and review need: organisations, users, teams, repositories, tokens, secrets and
//! protections. It can be run again at any time: it makes what is missing and sets what differs.
//!
//! What must be is written as Gitea's own JSON, and compared with Gitea's answer as it is.

use super::{
    ADMINISTER, BELL, OLDEST, ORGANIZE, OWNERS, PRIVATE, SECRETS, Secret, WRITE, WRITER, is_recent, may_post,
    owners_branch, records_branch, reviewed_branch, version,
};
use crate::config::{Config, Delivery, GiteaRemote, NamedFile, Remote};
use crate::digest::hex;
use crate::file_tree::RelativePath;
use crate::gitea::{Failure, Gitea, Pages};
use crate::names::Username;
use crate::outputs::Role;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

/// The workflows of the review repository.
const REVIEW: [(&str, &str); 3] = [
    (".gitea/workflows/apply.yaml", include_str!("../../pipelines/gitea/review/.gitea/workflows/apply.yaml")),
    (".gitea/workflows/drift.yaml", include_str!("../../pipelines/gitea/review/.gitea/workflows/drift.yaml")),
    (".gitea/workflows/plan.yaml", include_str!("../../pipelines/gitea/review/.gitea/workflows/plan.yaml")),
];
/// Those of the infrastructure repository.
const INFRASTRUCTURE: [(&str, &str); 2] = [
    (".gitea/workflows/apply.yaml", include_str!("../../pipelines/gitea/infrastructure/.gitea/workflows/apply.yaml")),
    (".gitea/workflows/plan.yaml", include_str!("../../pipelines/gitea/infrastructure/.gitea/workflows/plan.yaml")),
];
const README: &str = include_str!("../../pipelines/gitea/README.md");

/// Only an administrator can give an account this login name: somebody who takes one of the names beforehand cannot.
const MARK: &str = "goldpath:set-up";
/// The file with the token with which requests are delivered.
const TOKEN: &str = "token";
/// One call may take so long: Gitea runs its hooks in it.
const CALL: Duration = Duration::from_secs(60);
/// The configuration in the review repository.
const CONFIG: &str = "platform.yaml";
/// What the name of `review.user` ends with; the other users' names begin as it does.
const REVIEWER: &str = "-review";

/// What is asked for.
pub struct Order<'o> {
    /// Names the server, the repositories, the users and the owners.
    pub config: &'o Config,
    /// Its text, which becomes `platform.yaml` in the review repository.
    pub text: Vec<u8>,
    /// What holds the token of an administrator.
    pub admin: NamedFile,
    /// The label of the runner that rings for the infrastructure repository.
    pub runner: &'o str,
    /// The folder for the token with which requests are delivered.
    pub credentials: Option<&'o Path>,
    /// Whether to replace the tokens that are there.
    pub rotate: bool,
    /// Whether to read only.
    pub dry_run: bool,
}

/// What happens to something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It was not there.
    Make,
    /// It was another.
    Set,
    /// It was too much.
    Remove,
}

/// What is told while it goes on.
pub enum Told {
    /// Something changes; in a dry run, it would.
    Change(Verb, String),
    /// Something that stays as it is.
    Note(String),
    /// Something that must be otherwise, and is not made here.
    Wrong {
        /// What is so.
        what: String,
        /// What to do.
        remedy: String,
    },
}

/// Makes what is missing, sets what differs, and looks whether it is as it must be; gives the number of changes.
///
/// # Errors
/// A configuration without what is made here; a name that is somebody else's; a Gitea that refuses or does not answer.
pub fn set_up(order: &Order<'_>, tell: &mut dyn FnMut(Told)) -> Result<usize> {
    let site = Site::of(order.config)?;
    let remote = GiteaRemote { token: order.admin.clone(), ..site.remote.clone() };
    let gitea = Gitea::open(&remote, CALL)?;
    let mut setup =
        Setup { order, site: &site, gitea, admin: String::new(), signed_in: BTreeMap::new(), changes: 0, tell };
    setup.begin()?;
    setup.people()?;
    setup.review()?;
    setup.infrastructure()?;
    let mut pages = setup.reading_jobs()?;
    setup.credentials()?;
    if let Some(pages) = &mut pages {
        setup.check(pages)?;
    }
    Ok(setup.changes)
}

/// A repository.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    owner: String,
    name: String,
}

impl Place {
    /// The path of something of it.
    fn path<'p>(&'p self, rest: &[&'p str]) -> Vec<&'p str> {
        [&["repos", &self.owner, &self.name], rest].concat()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// What the configuration says of all this.
struct Site<'c> {
    remote: &'c GiteaRemote,
    infrastructure: Place,
    review: Place,
    catalog: Option<Place>,
    /// The organisation of the states.
    state: &'c str,
    owners: Vec<&'c str>,
    user_id: Option<i64>,
    writer: String,
    reviewer: String,
    bell: String,
    terraform: String,
    /// What the configuration names beside itself, by path.
    files: BTreeMap<String, Vec<u8>>,
}

impl<'c> Site<'c> {
    fn of(config: &'c Config) -> Result<Self> {
        let review = config.review.as_ref().context("the configuration has no `review`: see config.example.yaml")?;
        let Some(Remote::Gitea(remote)) = config.repositories.get(&Role::Infrastructure) else {
            bail!("`repositories.infrastructure` of the configuration is no repository in Gitea: name one");
        };
        let place = |remote: &GiteaRemote| Place { owner: remote.owner.to_string(), name: remote.name.to_string() };
        let infrastructure = place(remote);
        let catalog = match config.repositories.get(&Role::Catalog) {
            Some(Remote::Gitea(catalog)) if catalog.server == remote.server => Some(catalog),
            _ => None,
        };
        for (role, remote) in [("infrastructure", Some(remote)), ("catalog", catalog)] {
            let is_main = remote.is_none_or(|remote| remote.branch.as_str() == "main");
            ensure!(is_main, "`repositories.{role}.branch` is not `main`: only that is protected here; leave it out");
        }
        let (owner, name) = &review.repository;
        let review_place = Place { owner: owner.to_string(), name: name.to_string() };
        for (role, remote) in [("infrastructure", Some(remote)), ("catalog", catalog)] {
            let is_it =
                |remote: &GiteaRemote| place(remote).to_string().eq_ignore_ascii_case(&review_place.to_string());
            ensure!(
                !remote.is_some_and(is_it),
                "`review.repository` is `repositories.{role}` too, and who writes a branch of a repository can read all of \
                 its secrets: name another"
            );
        }
        ensure!(
            remote.delivery == Delivery::PullRequest,
            "`repositories.infrastructure.delivery` is `commit`, and nobody may push to what is protected here: make it \
             `pull-request`"
        );
        ensure!(
            catalog.is_none_or(|catalog| !place(catalog).to_string().eq_ignore_ascii_case(&infrastructure.to_string())),
            "`repositories.catalog` is the infrastructure repository too, which takes no commit without review: name another"
        );
        let state = config.state_owner.as_ref().context("the configuration has no `state.owner`: add it")?;
        let user = review.user.as_str();
        let prefix =
            user.strip_suffix(REVIEWER).filter(|prefix| Username::parse(&format!("{prefix}-terraform")).is_ok());
        let prefix = prefix.with_context(|| {
            format!(
                "`review.user` is {user}, and must be at most 30 characters and `{REVIEWER}`, as in `goldpath-review`: \
                 the names of the other users begin as it does"
            )
        })?;
        let named = remote.authority.iter().chain(&review.policy.rules).chain(&review.terraform.lock_file);
        let mut files = BTreeMap::new();
        // What is absolute is on the machines of the workflows.
        for file in named.filter(|file| !file.name().starts_with('/')) {
            let path = RelativePath::parse(file.name())
                .with_context(|| format!("{} cannot be in the review repository", file.name()))?;
            let is_ours = path.as_str() == CONFIG || path.as_str().starts_with(".gitea/");
            ensure!(
                !is_ours,
                "`{path}` of the review repository is not for what the configuration names: move the file"
            );
            files.insert(path.to_string(), file.read()?);
        }
        Ok(Self {
            remote,
            infrastructure,
            review: review_place,
            catalog: catalog.map(place),
            state: state.as_str(),
            owners: review.owners.iter().map(Username::as_str).collect(),
            user_id: review.user_id,
            writer: prefix.to_owned(),
            reviewer: user.to_owned(),
            bell: format!("{prefix}-bell"),
            terraform: format!("{prefix}-terraform"),
            files,
        })
    }

    /// Its repositories.
    fn places(&self) -> impl Iterator<Item = &Place> {
        [&self.infrastructure, &self.review].into_iter().chain(&self.catalog)
    }

    /// The organisations that own them, and that of the states.
    fn organizations(&self) -> BTreeSet<&str> {
        self.places().map(|place| place.owner.as_str()).chain([self.state]).collect()
    }

    /// A link to a page.
    fn link(&self, place: &Place, rest: &str) -> String {
        format!("{}/{place}/{rest}", self.remote.server)
    }
}

/// A user of the platform's.
struct User<'u> {
    name: &'u str,
    full_name: &'u str,
    visibility: &'u str,
    restricted: bool,
    admin: bool,
}

/// A team, with exactly these members.
struct Team<'t> {
    organization: &'t str,
    name: &'t str,
    description: &'t str,
    /// What it may, as Gitea's `permission` or `units_map`.
    rights: Value,
    repository: Option<&'t Place>,
    members: &'t [&'t str],
}

impl<'t> Team<'t> {
    /// One for a repository, which may do there what its units say.
    fn of(place: &'t Place, name: &'t str, description: &'t str, units: &Value, members: &'t [&'t str]) -> Self {
        let rights = json!({"units_map": units});
        Self { organization: &place.owner, name, description, rights, repository: Some(place), members }
    }
}

/// The work, as far as it is.
struct Setup<'s> {
    order: &'s Order<'s>,
    site: &'s Site<'s>,
    /// The administrator's.
    gitea: Gitea,
    admin: String,
    /// The platform's own users, with the passwords that they have now.
    signed_in: BTreeMap<String, (Gitea, String)>,
    changes: usize,
    tell: &'s mut dyn FnMut(Told),
}

impl Setup<'_> {
    fn read(&self, path: &[&str]) -> Result<Value> {
        Ok(self.gitea.get(path, &[])?.unwrap_or_default())
    }

    fn list(&self, path: &[&str]) -> Result<Vec<Value>> {
        Ok(self.gitea.get_all(path, &[])?)
    }

    fn count(&mut self, verb: Verb, what: String) {
        self.changes += 1;
        (self.tell)(Told::Change(verb, what));
    }

    /// Changes something as the administrator, and tells it when it is done.
    fn change(&mut self, verb: Verb, what: String, method: Method, path: &[&str], body: &Value) -> Result<()> {
        if !self.order.dry_run {
            self.gitea.put(method, path, body)?;
        }
        self.count(verb, what);
        Ok(())
    }

    /// Looks whether all of it can be made, before any of it is.
    fn begin(&mut self) -> Result<()> {
        let server = &self.site.remote.server;
        let version = version(&self.gitea)?.with_context(|| format!("no Gitea is at {server}: see `gitea.url`"))?;
        ensure!(is_recent(&version), "Gitea {version} answers at {server}: update it to {OLDEST} or later");
        let user = self.read(&["user"])?;
        self.admin = text(&user, "login").to_owned();
        let (admin, file) = (&self.admin, &self.order.admin);
        ensure!(user["is_admin"] == true, "{admin}, whose token is in {file}, is no administrator of {server}");
        ensure!(!self.site.owners.is_empty(), "`review.owners` names nobody: who merges?");
        let users = [&self.site.writer, &self.site.reviewer, &self.site.bell, &self.site.terraform];
        let is_ours = |name: &str| users.iter().any(|user| user.eq_ignore_ascii_case(name));
        for owner in &self.site.owners {
            let found = self.read(&["users", owner])?;
            let is_person = found["active"] == true && found["prohibit_login"] == false && !is_ours(owner);
            ensure!(
                is_person && self.read(&["orgs", owner])?.is_null(),
                "there is no user {owner}: `review.owners` names people who have an account and can sign in"
            );
        }
        for name in self.site.organizations() {
            let is_users = self.read(&["orgs", name])?.is_null() && !self.read(&["users", name])?.is_null();
            ensure!(
                !is_users && !is_ours(name),
                "{name} is a user, or is to be one: name an organisation as the owner"
            );
        }
        for name in users {
            let found = self.read(&["users", name])?;
            ensure!(
                found.is_null() || found["login_name"] == MARK,
                "there is a user or organisation {name} that was not made by this: name the users otherwise, with \
                 `review.user`"
            );
        }
        let state = self.read(&["orgs", self.site.state])?;
        ensure!(
            state.is_null() || state["visibility"] == PRIVATE,
            "the organisation {} is not private, so that every job's token can read its Terraform states: make it private, \
             or name another as `state.owner`",
            self.site.state
        );
        for place in self.site.places() {
            let found = self.read(&place.path(&[]))?;
            let (private, main) = (found["private"] == true, found["default_branch"] == "main");
            ensure!(found.is_null() || private, "{place} is public: make it private, or name another repository");
            ensure!(found["archived"] != true, "{place} is archived: have it unarchived, or name another");
            ensure!(
                found.is_null() || main,
                "the default branch of {place} is not `main`: rename it, or name another repository"
            );
        }
        if let Some(folder) = self.order.credentials.filter(|_| !self.order.dry_run) {
            self.prepare(folder)?;
        }
        let asked: [(&[&str], _); 3] =
            [(&["orgs"], &ORGANIZE), (&["admin", "users"], &ADMINISTER), (&["repos", "migrate"], &WRITE)];
        for (path, right) in asked.into_iter().filter(|_| !self.order.dry_run) {
            match may_post(&self.gitea, path) {
                // An administrator may do it all, but Gitea can be told to migrate nothing.
                Err(Failure::Refused(why)) if !why.contains("scope") => {}
                result => result.with_context(|| format!("the token in {file} may not {}", right.what))?,
            }
        }
        Ok(())
    }

    /// Makes the folder of the credentials, which only its owner can read, and looks whether it can be written.
    fn prepare(&self, folder: &Path) -> Result<()> {
        let writing = || format!("cannot write the credentials into {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(writing)?;
        tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
        ensure!(!folder.join(TOKEN).is_dir(), "{} is a folder: remove it", folder.join(TOKEN).display());
        Ok(())
    }

    fn people(&mut self) -> Result<()> {
        let site = self.site;
        for organization in site.organizations() {
            self.organization(organization)?;
        }
        let user = |name, full_name, visibility| User { name, full_name, visibility, restricted: true, admin: false };
        self.user(&user(&site.writer, "Goldpath", "limited"))?;
        self.user(&user(&site.reviewer, "Goldpath review", "limited"))?;
        self.user(&user(&site.bell, "Goldpath bell", PRIVATE))?;
        // An administrator, because the provider asks for /admin/orgs.
        let terraform = user(&site.terraform, "Goldpath Terraform", PRIVATE);
        self.user(&User { restricted: false, admin: true, ..terraform })?;
        for place in site.places() {
            self.repository(place)?;
        }

        for place in [&site.infrastructure, &site.review] {
            let description = "Merge infrastructure, and write the review repository";
            let rights = json!({"permission": "admin"});
            self.team(&Team { rights, ..Team::of(place, OWNERS, description, &json!({}), &site.owners) })?;
        }
        let (writer, reviewer, bell) = ([site.writer.as_str()], [site.reviewer.as_str()], [site.bell.as_str()]);
        let (infrastructure, review) = (&site.infrastructure, &site.review);
        let propose = json!({"repo.code": "write", "repo.pulls": "write", "repo.issues": "write"});
        self.team(&Team::of(infrastructure, "goldpath-writer", "Proposes", &propose, &writer))?;
        if let Some(catalog) = &site.catalog {
            // Writers take turns by means of a release.
            let units = json!({"repo.code": "write", "repo.releases": "write"});
            self.team(&Team::of(catalog, "goldpath-catalog", "Writes the catalog", &units, &writer))?;
        }
        let says = "Says what a plan would do";
        self.team(&Team::of(infrastructure, "goldpath-review", says, &propose, &reviewer))?;
        let units = json!({"repo.code": "write"});
        self.team(&Team::of(review, "goldpath-records", "Records what was applied", &units, &reviewer))?;
        self.team(&Team::of(review, "goldpath-bell", "Rings", &json!({"repo.issues": "read"}), &bell))?;
        let states = |name, description, right, members| Team {
            organization: site.state,
            name,
            description,
            rights: json!({"units_map": {"repo.packages": right}}),
            repository: None,
            members,
        };
        self.team(&states("goldpath-state", "Keeps Terraform's states", "write", &reviewer))?;
        // For `track`, which reads what Terraform has made.
        self.team(&states("goldpath-state-reader", "Reads Terraform's states", "read", &writer))
    }

    fn organization(&mut self, name: &str) -> Result<()> {
        let found = self.read(&["orgs", name])?;
        if found.is_null() {
            let body = json!({"username": name, "visibility": PRIVATE});
            return self.change(Verb::Make, format!("private organisation {name}"), Method::POST, &["orgs"], &body);
        }
        Ok(())
    }

    fn user(&mut self, user: &User<'_>) -> Result<()> {
        let User { name, full_name, visibility, restricted, admin } = user;
        let shown = json!({"full_name": full_name, "visibility": visibility, "restricted": restricted});
        let mail = json!({"email": format!("{}@goldpath.invalid", name.to_lowercase())});
        let found = self.read(&["users", name])?;
        if found.is_null() {
            let account = json!({
                "username": name, "login_name": MARK, "source_id": 0, "password": random()?, "must_change_password": false,
            });
            let body = with(&with(&shown, mail.clone()), account);
            self.change(Verb::Make, format!("user {name}"), Method::POST, &["admin", "users"], &body)?;
        }
        let is_as = json!({"is_admin": admin, "active": true, "prohibit_login": false});
        if !has(&found, &with(&with(&shown, mail), is_as)) {
            let rights = json!({
                "login_name": MARK, "source_id": 0, "admin": admin, "active": true, "prohibit_login": false,
                "allow_create_organization": false, "max_repo_creation": 0,
            });
            let path = ["admin", "users", name];
            self.change(Verb::Set, format!("rights of the user {name}"), Method::PATCH, &path, &with(&shown, rights))?;
        }
        Ok(())
    }

    /// Signs in: Gitea gives a token, and its pages, only to who has the password, so there is a new one each time, which
    /// nobody learns.
    fn sign_in(&mut self, user: &str) -> Result<&(Gitea, String)> {
        if !self.signed_in.contains_key(user) {
            let password = random()?;
            let body = json!({"login_name": MARK, "source_id": 0, "password": password, "must_change_password": false});
            self.gitea.put(Method::PATCH, &["admin", "users", user], &body)?;
            self.signed_in.insert(user.to_owned(), (self.gitea.with_password(user, &password)?, password));
        }
        self.signed_in.get(user).context("signed in just now")
    }

    /// Makes a token, has it put where it belongs, and removes the older ones of the same purpose; nothing of it in a dry
    /// run but to tell it.
    fn token(
        &mut self,
        user: &str,
        purpose: &str,
        scopes: &[&str],
        keep: impl FnOnce(&mut Self, &str) -> Result<()>,
    ) -> Result<()> {
        let what = format!("token of {user} ({})", scopes.join(" "));
        if self.order.dry_run {
            self.count(Verb::Make, what);
            return Ok(());
        }
        let name = format!("{purpose}, {}", &random()?[..8]);
        let path = ["users", user, "tokens"];
        let (gitea, _) = self.sign_in(user)?;
        let made: Value = gitea.send(Method::POST, &path, &json!({"name": name, "scopes": scopes}))?;
        self.count(Verb::Make, what);
        keep(self, text(&made, "sha1"))?;
        let (gitea, _) = self.sign_in(user)?;
        let all: Vec<Value> = gitea.get_all(&path, &[])?;
        let is_old = |token: &&Value| token["name"] != name && text(token, "name").starts_with(&format!("{purpose}, "));
        let old: Vec<_> = all.iter().filter(is_old).map(|token| token["id"].to_string()).collect();
        for id in &old {
            gitea.delete(&[&path[..], &[id]].concat())?;
        }
        old.iter().for_each(|_| self.count(Verb::Remove, format!("an old token of {user}")));
        Ok(())
    }

    /// Whether a user has a token of a purpose, which somebody may have removed.
    fn has_token(&mut self, user: &str, purpose: &str) -> Result<bool> {
        let path = ["users", user, "tokens"];
        let all: Vec<Value> = self.sign_in(user)?.0.get_all(&path, &[])?;
        Ok(all.iter().any(|token| text(token, "name").starts_with(&format!("{purpose}, "))))
    }

    fn team(&mut self, team: &Team<'_>) -> Result<()> {
        let Team { organization, name, description, rights, repository, members } = team;
        let shown = format!("the team {name} of {organization}");
        let path = ["orgs", organization, "teams"];
        let find = |all: Vec<Value>| all.into_iter().find(|team| team["name"] == *name);
        let want = with(
            rights,
            json!({
                "name": name, "description": description, "includes_all_repositories": false, "can_create_org_repo": false,
            }),
        );
        let mut found = find(self.list(&path)?);
        match &found {
            None => {
                self.change(Verb::Make, shown.clone(), Method::POST, &path, &want)?;
                found = find(self.list(&path)?);
            }
            Some(found) if !has_rights(found, &want) => {
                let id = found["id"].to_string();
                self.change(Verb::Set, format!("rights of {shown}"), Method::PATCH, &["teams", &id], &want)?;
            }
            Some(_) => {}
        }
        // That of none, in a dry run.
        let id = found.map_or_else(|| "0".to_owned(), |found| found["id"].to_string());
        if let Some(place) = repository {
            let is_there = self
                .list(&["teams", &id, "repos"])?
                .iter()
                .any(|r| text(r, "full_name").eq_ignore_ascii_case(&place.to_string()));
            if !is_there {
                let path = ["teams", &id, "repos", &place.owner, &place.name];
                self.change(Verb::Make, format!("access to {place} for {shown}"), Method::PUT, &path, &json!({}))?;
            }
        }
        let there = self.list(&["teams", &id, "members"])?;
        let there: Vec<_> = there.iter().map(|member| text(member, "login")).collect();
        let lacks = |all: &[&str], one: &str| !all.iter().any(|other| other.eq_ignore_ascii_case(one));
        for member in members.iter().filter(|member| lacks(&there, member)) {
            let path = ["teams", &id, "members", member];
            self.change(Verb::Make, format!("{member} a member of {shown}"), Method::PUT, &path, &json!({}))?;
        }
        for member in there.iter().filter(|member| lacks(members, member)) {
            let path = ["teams", &id, "members", member];
            self.change(Verb::Remove, format!("{member} from {shown}"), Method::DELETE, &path, &json!({}))?;
        }
        Ok(())
    }

    fn repository(&mut self, place: &Place) -> Result<()> {
        let mut found = self.read(&place.path(&[]))?;
        if found.is_null() {
            let body = json!({"name": place.name, "private": true, "default_branch": "main", "auto_init": false});
            let path = ["orgs", &place.owner, "repos"];
            self.change(Verb::Make, format!("private repository {place}"), Method::POST, &path, &body)?;
            found = self.read(&place.path(&[]))?;
            if found.is_null() {
                return Ok(());
            }
        }
        let units = json!({"has_actions": true, "has_pull_requests": true, "has_issues": true});
        if !has(&found, &units) {
            let what = format!("Actions, issues and pull requests of {place}");
            self.change(Verb::Set, what, Method::PATCH, &place.path(&[]), &units)?;
        }
        Ok(())
    }

    fn protection(&mut self, place: &Place, rule: &str, want: &Value) -> Result<()> {
        let path = place.path(&["branch_protections", rule]);
        let found = self.read(&path)?;
        let what = format!("protection of {rule} in {place}");
        if found.is_null() {
            let (path, body) = (place.path(&["branch_protections"]), with(want, json!({"rule_name": rule})));
            self.change(Verb::Make, what, Method::POST, &path, &body)
        } else if !has(&found, want) {
            self.change(Verb::Set, what, Method::PATCH, &path, want)
        } else {
            Ok(())
        }
    }

    fn tag_protection(&mut self, place: &Place) -> Result<()> {
        let path = place.path(&["tag_protections"]);
        let want = json!({"name_pattern": "**", "whitelist_teams": [OWNERS], "whitelist_usernames": []});
        let what = format!("protection of tags in {place}");
        match self.list(&path)?.iter().find(|rule| rule["name_pattern"] == "**") {
            None => self.change(Verb::Make, what, Method::POST, &path, &want),
            Some(found) if !has(found, &want) => {
                let id = found["id"].to_string();
                self.change(Verb::Set, what, Method::PATCH, &place.path(&["tag_protections", &id]), &want)
            }
            Some(_) => Ok(()),
        }
    }

    fn variable(&mut self, place: &Place, name: &str, value: &str) -> Result<()> {
        let path = place.path(&["actions", "variables", name]);
        let found = self.read(&path)?;
        let (verb, method) = match found.is_null() {
            true => (Verb::Make, Method::POST),
            false => (Verb::Set, Method::PUT),
        };
        if found["data"] == value {
            return Ok(());
        }
        let body = json!({"name": name, "value": value});
        self.change(verb, format!("variable {name} of {place}"), method, &path, &body)
    }

    fn secret(&mut self, place: &Place, secret: &Secret) -> Result<()> {
        let is_there = self.names_of_secrets(place)?.contains(secret.name);
        let (name, user) = (secret.name, format!("{}{}", self.site.writer, secret.user));
        let purpose = format!("{name} of {place}");
        if is_there && !self.order.rotate && (self.order.dry_run || self.has_token(&user, &purpose)?) {
            return Ok(());
        }
        self.token(&user, &purpose, secret.scopes, |setup, token| {
            let path = place.path(&["actions", "secrets", name]);
            let verb = if is_there { Verb::Set } else { Verb::Make };
            setup.change(verb, format!("secret {name} of {place}"), Method::PUT, &path, &json!({"data": token}))
        })
    }

    fn names_of_secrets(&self, place: &Place) -> Result<BTreeSet<String>> {
        let all = self.list(&place.path(&["actions", "secrets"]))?;
        Ok(all.iter().map(|secret| text(secret, "name").to_owned()).collect())
    }

    /// Commits the files that `main` lacks or, with `update`, has otherwise. It takes no push of ours, and no change of a
    /// workflow, but for the moment of that commit.
    fn files(
        &mut self,
        place: &Place,
        update: bool,
        closed: &Value,
        message: &str,
        files: &[(&str, &[u8])],
    ) -> Result<()> {
        let (mut operations, mut paths) = (Vec::new(), Vec::new());
        for (path, content) in files {
            let segments: Vec<_> = path.split('/').collect();
            let api = [&place.path(&["contents"])[..], &segments].concat();
            let found: Value = self.gitea.get(&api, &[("ref", "main")])?.unwrap_or_default();
            if !found.is_null() && decoded(&found)? == *content {
                continue;
            }
            if !found.is_null() && !update {
                (self.tell)(Told::Note(format!("{path} in {place} is not the one of this version; it stays")));
                continue;
            }
            let mut operation = json!({"operation": "create", "path": path, "content": BASE64.encode(content)});
            if !found.is_null() {
                operation = with(&operation, json!({"operation": "update", "sha": found["sha"]}));
            }
            operations.push(operation);
            paths.push(*path);
        }
        if paths.is_empty() {
            return Ok(());
        }
        let body = json!({"branch": "main", "message": message, "files": operations});
        let what = format!("commit in {place}: {}", paths.join(", "));
        let rule = place.path(&["branch_protections", "main"]);
        let is_closed = self.read(&place.path(&["branches", "main"]))?["protected"] == true && !self.order.dry_run;
        if is_closed {
            self.protection(place, "main", closed)?;
            let open = json!({
                "enable_push": true, "enable_push_whitelist": true, "push_whitelist_usernames": [self.admin],
                "push_whitelist_teams": [], "protected_file_patterns": "",
            });
            self.gitea.put(Method::PATCH, &rule, &open)?;
        }
        let committed = self.change(Verb::Make, what, Method::POST, &place.path(&["contents"]), &body);
        if is_closed {
            let closing = self.gitea.put(Method::PATCH, &rule, closed);
            closing.with_context(|| format!("`main` of {place} is open to {}: run this again", self.admin))?;
        }
        committed
    }

    fn review(&mut self) -> Result<()> {
        let site = self.site;
        let place = &site.review;
        self.variable(place, "STATE_USERNAME", &site.reviewer)?;
        for secret in &SECRETS {
            self.secret(place, secret)?;
        }
        let mut files = vec![(CONFIG, self.order.text.as_slice())];
        files.extend(site.files.iter().map(|(path, content)| (path.as_str(), content.as_slice())));
        files.extend(REVIEW.iter().map(|(path, text)| (*path, text.as_bytes())));
        self.files(place, true, &owners_branch(1), "Review with Goldpath", &files)?;
        self.records()?;
        self.protection(place, "main", &owners_branch(1))?;
        self.protection(place, "records", &records_branch(&site.reviewer))?;
        self.protection(place, "**", &owners_branch(3))?;
        self.tag_protection(place)?;
        self.accounts()
    }

    /// A branch without workflows: one in it could be run with the secrets.
    fn records(&mut self) -> Result<()> {
        let place = &self.site.review;
        if !self.read(&place.path(&["branches", "records"]))?.is_null() {
            return Ok(());
        }
        let query = [("recursive", "true"), ("per_page", "1000")];
        let tree: Value = self.gitea.get(&place.path(&["git", "trees", "main"]), &query)?.unwrap_or_default();
        let blobs = tree["tree"].as_array().into_iter().flatten().filter(|entry| entry["type"] == "blob");
        let mut files: Vec<_> =
            blobs.map(|entry| json!({"operation": "delete", "path": entry["path"], "sha": entry["sha"]})).collect();
        let content = BASE64.encode("Kept by `goldpath terraform`: what was applied.\n");
        files.push(json!({"operation": "create", "path": "RECORDS.md", "content": content}));
        let body = json!({"branch": "main", "new_branch": "records", "message": "Begin the records", "files": files});
        let path = place.path(&["contents"]);
        self.change(Verb::Make, format!("branch records of {place}"), Method::POST, &path, &body)
    }

    /// Records whose the names of the configuration are: who takes one that its account has given up is not taken for that
    /// one.
    fn accounts(&mut self) -> Result<()> {
        let site = self.site;
        let path = site.review.path(&["contents", "accounts.json"]);
        let found: Value = self.gitea.get(&path, &[("ref", "records")])?.unwrap_or_default();
        let known: Map<String, Value> = match found.is_null() {
            true => Map::new(),
            false => serde_json::from_slice(&decoded(&found)?).context("accounts.json cannot be read")?,
        };
        let mut want = known.clone();
        for user in [&site.reviewer[..]].iter().chain(&site.owners) {
            let account = self.read(&["users", user])?;
            if account.is_null() {
                continue; // one that a dry run has not made
            }
            let id = want.entry(text(&account, "login").to_ascii_lowercase()).or_insert_with(|| account["id"].clone());
            ensure!(
                *id == account["id"],
                "{user} is another account than the one that is recorded in accounts.json on `records` of {}: if that is \
                 right, remove the name there, and run this again",
                site.review
            );
        }
        if want == known {
            return Ok(());
        }
        if !self.order.dry_run {
            let content = BASE64.encode(format!("{}\n", serde_json::to_string_pretty(&want)?));
            let body = json!({"branch": "records", "message": "Remember whose these names are", "content": content});
            let (method, body) = match found.is_null() {
                true => (Method::POST, body),
                false => (Method::PUT, with(&body, json!({"sha": found["sha"]}))),
            };
            self.sign_in(&site.reviewer)?.0.put(method, &path, &body)?;
        }
        self.count(Verb::Make, "record of whose the owners' names are".to_owned());
        Ok(())
    }

    fn infrastructure(&mut self) -> Result<()> {
        let site = self.site;
        let place = &site.infrastructure;
        self.variable(place, "GOLDPATH_REVIEW", &site.review.to_string())?;
        self.variable(place, "GOLDPATH_RUNNER", self.order.runner)?;
        self.bell("plan", "PLAN_BELL")?;
        self.bell("apply", "APPLY_BELL")?;
        self.secret(place, &BELL)?;
        let mut files: Vec<_> = INFRASTRUCTURE.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
        let found = self.read(&place.path(&[]))?;
        if found.is_null() || found["empty"] == true {
            files.push(("README.md", README.as_bytes()));
        }
        self.files(place, false, &reviewed_branch(), "Ring for review", &files)?;
        self.protection(place, "main", &reviewed_branch())
    }

    /// An issue that starts a workflow when it is edited. Whoever has the bell's token can edit what the bell has written,
    /// and nothing else: so it writes the issue.
    fn bell(&mut self, workflow: &str, variable: &str) -> Result<()> {
        let site = self.site;
        let place = &site.review;
        let found = self.read(&place.path(&["actions", "variables", variable]))?;
        let mut number = text(&found, "data").to_owned();
        let issue = match number.is_empty() {
            true => Value::Null,
            false => self.read(&place.path(&["issues", &number]))?,
        };
        let title = json!({"title": workflow});
        if !text(&issue["user"], "login").eq_ignore_ascii_case(&site.bell) || !issue["pull_request"].is_null() {
            number = "0".to_owned();
            if !self.order.dry_run {
                let body = format!("Every edit of this issue starts the workflow {workflow}.");
                let (gitea, _) = self.sign_in(&site.bell)?;
                let body = with(&title, json!({"body": body}));
                let made: Value = gitea.send(Method::POST, &place.path(&["issues"]), &body)?;
                number = made["number"].to_string();
            }
            self.count(Verb::Make, format!("issue {workflow} in {place}"));
        } else if !has(&issue, &title) {
            let path = place.path(&["issues", &number]);
            self.change(Verb::Set, format!("title of the issue {workflow} in {place}"), Method::PATCH, &path, &title)?;
        }
        self.variable(place, variable, &number)?;
        self.variable(&site.infrastructure, &format!("GOLDPATH_{variable}"), &number)
    }

    /// Takes the right to write from the automatic token of workflows: one on any branch could change other branches, in
    /// nobody's name. No API tells or sets that; the administrator whom this has made signs in to the page that does.
    fn reading_jobs(&mut self) -> Result<Option<Pages>> {
        let site = self.site;
        let place = &site.infrastructure;
        if self.order.dry_run {
            (self.tell)(Told::Note(format!("whether workflows of {place} may write is not looked at in a dry run")));
            return Ok(None);
        }
        let (gitea, password) = self.sign_in(&site.terraform)?;
        let mut pages = gitea.pages();
        pages.post(&["user", "login"], &[("user_name", &site.terraform), ("password", password)])?;
        // What signs in otherwise is told by the check.
        if jobs(&mut pages, place)? == Some(Jobs::Write) {
            // Code, releases and packages can be read; the numbers are those of Gitea's units.
            let form = [
                ("override_owner_config", "on"),
                ("token_permission_mode", "restricted"),
                ("enable_max_permissions", "on"),
                ("max_unit_access_mode_1", "read"),
                ("max_unit_access_mode_4", "read"),
                ("max_unit_access_mode_9", "read"),
            ];
            let path = [&place.owner, &place.name, "settings", "actions", "general", "token_permissions"];
            pages.post(&path, &form)?;
            self.count(Verb::Set, format!("workflows of {place} to read, and write nothing"));
        }
        Ok(Some(pages))
    }

    fn credentials(&mut self) -> Result<()> {
        let site = self.site;
        let Some(folder) = self.order.credentials else {
            if self.order.rotate {
                let what = format!("the token of {} stays: name its folder with `--credentials`", site.writer);
                (self.tell)(Told::Note(what));
            }
            return Ok(());
        };
        let file = folder.join(TOKEN);
        if !self.order.rotate && file.exists() && self.is_writers(&file)? {
            return Ok(());
        }
        let purpose = format!("commit to {}", site.infrastructure);
        self.token(&site.writer, &purpose, &WRITER, |_, token| {
            let writing = || format!("cannot write {}", file.display());
            // Only its owner can read it, and what reads it meanwhile finds the old one or the new one.
            let mut new = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
            writeln!(new, "{token}").with_context(writing)?;
            new.persist(&file).with_context(writing)?;
            Ok(())
        })
    }

    /// Whether a file holds a token with which requests can be delivered.
    fn is_writers(&self, file: &Path) -> Result<bool> {
        let place = &self.site.infrastructure;
        let remote = GiteaRemote { token: NamedFile::at(file), ..self.site.remote.clone() };
        // What cannot be used is replaced.
        let Ok(gitea) = Gitea::open(&remote, CALL) else { return Ok(false) };
        let found = match gitea.get::<Value>(&place.path(&[]), &[]) {
            Err(Failure::Refused(_)) => return Ok(false),
            found => found?.unwrap_or_default(),
        };
        let is_user = has(&found, &json!({"permissions": {"admin": false, "push": true, "pull": true}}));
        for what in ["branches", "issues"] {
            match may_post(&gitea, &place.path(&[what])) {
                Err(Failure::Refused(_)) => return Ok(false),
                result => result?,
            }
        }
        Ok(is_user)
    }

    fn wrong(&mut self, what: String, remedy: String) {
        (self.tell)(Told::Wrong { what, remedy });
    }

    /// Looks whether it is as it must be: others may have made more than is set here.
    fn check(&mut self, pages: &mut Pages) -> Result<()> {
        let site = self.site;
        let (infrastructure, review) = (&site.infrastructure, &site.review);
        for (place, branch) in [(infrastructure, "main"), (review, "main"), (review, "records")] {
            let found = self.read(&place.path(&["branches", branch]))?;
            let rule = text(&found, "effective_branch_protection_name");
            if rule != branch {
                let what = format!("{branch} of {place} is protected by the rule `{rule}`, not by `{branch}`");
                let link = site.link(place, "settings/branches");
                self.wrong(what, format!("remove other rules of {link}, or move them down"));
            }
        }
        for rule in self.read(&review.path(&["branch_protections"]))?.as_array().into_iter().flatten() {
            let rule = text(rule, "rule_name");
            if !["main", "records", "**"].contains(&rule) {
                let remedy = format!("remove it at {}", site.link(review, "settings/branches"));
                let what = format!("the rule `{rule}` of {review} may let others write a branch, and read every token");
                self.wrong(what, remedy);
            }
        }
        let found = self.read(&review.path(&["actions", "workflows"]))?;
        let disabled = found["workflows"].as_array().into_iter().flatten().filter(|flow| flow["state"] != "active");
        for flow in disabled.map(|flow| text(flow, "id")) {
            let remedy = format!("enable it at {}", site.link(review, "actions"));
            self.wrong(format!("the workflow {flow} of {review} is disabled"), remedy);
        }
        for (place, secrets) in [(review, &SECRETS[..]), (infrastructure, &[BELL])] {
            let there = self.names_of_secrets(place)?;
            for secret in secrets.iter().filter(|secret| !there.contains(secret.name)) {
                self.wrong(format!("{place} has no secret {}", secret.name), "run this again".to_owned());
            }
        }
        let remedy = format!(
            "look at {}: do not follow the owner, restricted, and no `write` in the maximum",
            site.link(infrastructure, "settings/actions/general")
        );
        match jobs(pages, infrastructure)? {
            Some(Jobs::Read) => {}
            Some(Jobs::Write) => self.wrong(format!("workflows of {infrastructure} may write"), remedy),
            None => (self.tell)(Told::Note(format!(
                "whether workflows of {infrastructure} may write cannot be seen, because {} cannot sign in with a password: \
                 {remedy}",
                site.terraform
            ))),
        }
        pages.post(&["user", "logout"], &[])?;
        // Beside what their teams have.
        for (user, place) in [(&site.bell, infrastructure), (&site.bell, review), (&site.writer, review)] {
            let found = self.read(&place.path(&["collaborators", user, "permission"]))?;
            let permission = text(&found, "permission");
            if permission != "none" {
                let link = site.link(place, "settings/collaboration");
                let remedy = format!("look for other teams and collaborators at {link}");
                self.wrong(format!("{user} has `{permission}` in {place}, not `none`"), remedy);
            }
        }
        let ours = ["Owners", OWNERS, "goldpath-records", "goldpath-bell"];
        let teams = self.read(&review.path(&["teams"]))?;
        for team in teams.as_array().into_iter().flatten().map(|team| text(team, "name")) {
            if !ours.contains(&team) {
                let remedy = "who can write it has every token: take it away from them".to_owned();
                self.wrong(format!("the team {team} has access to {review}"), remedy);
            }
        }
        for person in self.list(&review.path(&["collaborators"]))? {
            let remedy = "who can write it has every token: put them among `review.owners`, or take it away from them"
                .to_owned();
            self.wrong(format!("{} has access to {review}", text(&person, "login")), remedy);
        }
        let id = self.read(&["users", &site.reviewer])?["id"].as_i64();
        let add = "who gets the name later is then not believed";
        match (site.user_id, id) {
            (None, Some(id)) => {
                let note = format!("write `userId: {id}` beside `user` of `review` in the configuration: {add}");
                (self.tell)(Told::Note(note));
            }
            (Some(ours), Some(id)) if ours != id => {
                let what = format!("`review.userId` is {ours}, and {} is the account {id}", site.reviewer);
                self.wrong(what, "correct it, and run this again".to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

/// What the automatic token of workflows may do.
#[derive(PartialEq, Eq)]
enum Jobs {
    Read,
    Write,
}

/// Looks at it on the page of a repository's settings; nothing where the page cannot be seen.
fn jobs(pages: &mut Pages, place: &Place) -> Result<Option<Jobs>, Failure> {
    let page = pages.get(&[&place.owner, &place.name, "settings", "actions", "general"])?.unwrap_or_default();
    let says = |text: &str| page.contains(text);
    let reads_only = says(r#"name="override_owner_config" checked"#)
        && says(r#"value="restricted" checked"#)
        && says(r#"name="enable_max_permissions" checked"#)
        && !says(r#"value="write" checked"#);
    Ok(match says("token_permission_mode") {
        true if reads_only => Some(Jobs::Read),
        true => Some(Jobs::Write),
        false => None,
    })
}

/// Whether an answer says all that is wanted, lists in any order.
fn has(found: &Value, want: &Value) -> bool {
    match (found, want) {
        (Value::Object(found), Value::Object(want)) => {
            want.iter().all(|(key, want)| found.get(key).is_some_and(|found| has(found, want)))
        }
        (Value::Array(found), Value::Array(want)) => {
            let within = |some: &[Value], all: &[Value]| some.iter().all(|one| all.contains(one));
            found.len() == want.len() && within(found, want) && within(want, found)
        }
        _ => found == want,
    }
}

/// The same of a team, of which Gitea names all units, and says `none` for what it may not.
fn has_rights(found: &Value, want: &Value) -> bool {
    let mut found = found.clone();
    if let Some(units) = found["units_map"].as_object_mut() {
        units.retain(|_, right| right != "none");
    }
    has(&found, want) && want.get("units_map").is_none_or(|units| found["units_map"] == *units)
}

/// An object with more in it.
fn with(object: &Value, more: Value) -> Value {
    let mut object = object.clone();
    if let (Value::Object(all), Value::Object(more)) = (&mut object, more) {
        all.extend(more);
    }
    object
}

/// A text of an answer; empty where it has none.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// What a file of the API's answer holds.
fn decoded(file: &Value) -> Result<Vec<u8>> {
    BASE64.decode(text(file, "content")).context("Gitea's answer is no base64")
}

/// What nobody guesses.
fn random() -> Result<String> {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).ok().context("this machine gives no random numbers")?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn an_answer_may_say_more_and_in_another_order() {
        let found = json!({"a": 1, "list": ["x", "y"], "in": {"b": true, "c": null}});
        for same in [json!({}), json!({"a": 1}), json!({"list": ["y", "x"]}), json!({"in": {"b": true}})] {
            assert!(has(&found, &same), "{same}");
        }
        for other in [json!({"a": 2}), json!({"list": ["x"]}), json!({"list": ["x", "x"]}), json!({"d": null})] {
            assert!(!has(&found, &other), "{other}");
        }
    }

    #[test]
    fn a_team_has_exactly_the_units_that_are_wanted() {
        let want = json!({"name": "t", "units_map": {"repo.code": "write"}});
        let team = |units| json!({"name": "t", "permission": "none", "units_map": units});
        assert!(has_rights(&team(json!({"repo.code": "write", "repo.wiki": "none"})), &want));
        assert!(!has_rights(&team(json!({"repo.code": "write", "repo.wiki": "read"})), &want));
        assert!(!has_rights(&team(json!({"repo.code": "read"})), &want));
    }

    #[test]
    fn every_workflow_is_committed() {
        for (folder, files) in [("review", &REVIEW[..]), ("infrastructure", &INFRASTRUCTURE[..])] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/gitea").join(folder);
            let found = std::fs::read_dir(root.join(".gitea/workflows")).unwrap().count();
            assert_eq!(found, files.len(), "{folder}");
        }
    }
}
