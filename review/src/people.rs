//! Who has written a pull request, and who may approve it.
//!
//! A person is an account's id: a name can be changed, and taken by somebody else then. Who cannot be told is
//! not taken for nobody.

use super::site::{PullRequest, RECORDS, Site, file_at};
use anyhow::{Context, Result, ensure};
use goldpath::gitea::{Failure, Nothing};
use goldpath::names::Username;
use goldpath::repository::User;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The file on the branch of records that tells whose the names of the configuration are: ids by names in lower case.
const ACCOUNTS: &str = "accounts.json";
/// What to do where an account is not the one that was recorded.
const WAY_OUT: &str = "if that is right, an owner removes the name from `accounts.json` on the branch `records`";
/// So much later than a branch was made the feed may tell of it.
const FEED_DELAY: SignedDuration = SignedDuration::from_secs(10);
/// What Gitea calls the right to write a repository, or more.
const WRITES: [&str; 3] = ["write", "admin", "owner"];

/// Somebody's approval of a head commit.
#[derive(Clone, Debug)]
pub(super) struct Approval {
    pub by: User,
    pub at: Timestamp,
}

/// The ids of those whose work something is.
pub(super) type Authors = Result<BTreeSet<i64>, Unknown>;

/// Why it is not known whose work something is.
pub(super) struct Unknown {
    pub why: String,
    /// Whether it will never be: else Gitea may tell later.
    pub is_final: bool,
}

/// Whom a pull request's history has named so far.
struct Seen {
    number: u64,
    persons: BTreeSet<i64>,
    authors: BTreeSet<i64>,
}

/// A team of the repository's organisation.
#[derive(Deserialize)]
struct Team {
    id: u64,
    name: String,
    #[serde(default)]
    units_map: BTreeMap<String, String>,
}

impl Site<'_> {
    /// The platform's owners, by what is recorded of their names; `user` is who our token is of.
    ///
    /// # Errors
    /// Our user is another account than the one that was recorded.
    pub(super) fn recognise(&self, user: &User) -> Result<Vec<User>> {
        let accounts = self.accounts()?;
        let account = |name: &Username| {
            let id = accounts.get(&name.as_str().to_lowercase())?;
            Some(User { id: *id, login: name.as_str().to_owned() })
        };
        ensure!(
            self.settings.user_id.is_none_or(|id| id == user.id),
            "`{}` is the account {}, and `review.userId` is another",
            user.login,
            user.id
        );
        ensure!(
            account(&self.settings.user).is_some_and(|known| known.id == user.id),
            "`{}`, which is `review.user`, is another account than the one that was recorded: {WAY_OUT}",
            user.login
        );
        Ok(self.settings.owners.iter().filter_map(account).collect())
    }

    /// Whose the names of the configuration are. What is not recorded yet is looked up, and recorded: by the set-up
    /// script, or by the first run.
    fn accounts(&self) -> Result<BTreeMap<String, i64>> {
        let names = self.settings.owners.iter().chain([&self.settings.user]).map(|name| name.as_str().to_lowercase());
        let names: BTreeSet<_> = names.collect();
        loop {
            let (sha, mut accounts) = match file_at(&self.records, RECORDS.0, ACCOUNTS)? {
                Some((sha, content)) => {
                    let reading = || format!("`{ACCOUNTS}` on `{}` is not what we write", RECORDS.0);
                    (Some(sha), serde_json::from_slice::<BTreeMap<String, i64>>(&content).with_context(reading)?)
                }
                None => (None, BTreeMap::new()),
            };
            let missing: Vec<_> = names.iter().filter(|name| !accounts.contains_key(*name)).collect();
            if missing.is_empty() {
                return Ok(accounts);
            }
            for name in missing {
                let user: Option<User> = self.api.gitea.get(&["users", name], &[])?;
                let user = user.with_context(|| format!("`review` names `{name}`, and Gitea has no such user"))?;
                accounts.insert(name.clone(), user.id);
            }
            self.write_record(ACCOUNTS, sha.as_deref(), &accounts, "Remember whose these names are")?;
        }
    }

    /// The account of a platform owner's that this is; none for anybody else.
    pub fn is_owner(&self, user: &User) -> bool {
        self.owners.iter().any(|owner| owner.id == user.id && owner.login.eq_ignore_ascii_case(&user.login))
    }

    /// What to say of somebody who has an owner's name or account, and not both.
    pub fn mistaken_for_owner(&self, user: &User) -> Option<String> {
        let alike = |owner: &&User| owner.id == user.id || owner.login.eq_ignore_ascii_case(&user.login);
        self.owners.iter().find(alike).filter(|_| !self.is_owner(user))?;
        Some(format!("`{}` is another account, or has another name, than the platform owner: {WAY_OUT}", user.login))
    }

    /// Who has approved the head commit of a pull request and has not taken it back: none of its authors, and nobody
    /// whose word Gitea did not count as a reviewer's of that branch.
    pub fn approvals(&self, pull: &PullRequest, authors: &BTreeSet<i64>) -> Result<Vec<Approval>, Failure> {
        #[derive(Deserialize)]
        struct Review {
            id: u64,
            state: String,
            commit_id: String,
            dismissed: bool,
            official: bool,
            user: Option<User>,
            submitted_at: Timestamp,
        }
        let number = pull.number.to_string();
        let mut reviews: Vec<Review> = self.api.gitea.get_all_shown(&self.api.path(&["pulls", &number, "reviews"]))?;
        reviews.sort_by_key(|review| review.id);
        let mut last = BTreeMap::new();
        for review in reviews {
            if let ("APPROVED" | "REQUEST_CHANGES", Some(user)) = (review.state.as_str(), review.user.clone()) {
                last.insert(user.id, (user, review));
            }
        }
        last.retain(|id, (_, review)| {
            review.state == "APPROVED"
                && review.commit_id == pull.head.sha
                && review.official
                && !review.dismissed
                && !authors.contains(id)
        });
        Ok(last.into_values().map(|(by, review)| Approval { by, at: review.submitted_at }).collect())
    }

    /// Whose work a pull request is, and our own user, who says what it does: none of them can approve it. Behind an
    /// account that is no person's (the automatic token of a workflow, a deploy key, one that was removed) can be anybody:
    /// then, and where no event tells who has pushed the head commit, nobody is known not to be its author.
    fn authors(&self, pull: &PullRequest) -> Result<Authors, Failure> {
        #[derive(Deserialize)]
        struct Event {
            r#type: String,
            user: Option<User>,
            /// As `{"is_force_push": false, "commit_ids": […]}`.
            #[serde(default)]
            body: String,
        }
        #[derive(Deserialize)]
        struct Commit {
            author: Option<User>,
            committer: Option<User>,
        }
        let number = pull.number.to_string();
        let events: Vec<Option<Event>> =
            self.api.gitea.get_all_shown(&self.api.path(&["issues", &number, "timeline"]))?;
        let (pushes, others): (Vec<_>, Vec<_>) =
            events.into_iter().flatten().partition(|event| event.r#type == "pull_push");
        if !pushes.iter().any(|push| push.body.contains(&pull.head.sha)) {
            let why = format!("Gitea has no event that tells who has pushed the head commit of #{number}");
            return Ok(Err(Unknown { why, is_final: false }));
        }
        let commits: Vec<Commit> = self.api.gitea.get_all(
            &self.api.path(&["pulls", &number, "commits"]),
            &[("verification", "false"), ("files", "false")],
        )?;
        // A commit can name anybody, and nobody that Gitea knows: who has pushed it answers for it.
        let named = commits.into_iter().flat_map(|commit| [commit.author, commit.committer]).flatten();
        let reopened = others.into_iter().filter(|event| event.r#type == "reopen");
        let told = [("opened", Some(pull.user.clone()))]
            .into_iter()
            .chain(pushes.into_iter().map(|push| ("pushed to", push.user)))
            .chain(named.map(|user| ("committed to", Some(user))))
            .map(|(did, user)| (did, user, true))
            .chain(reopened.map(|event| ("opened again", event.user, false)));
        let mut seen =
            Seen { number: pull.number, persons: BTreeSet::from([self.me]), authors: BTreeSet::from([self.me]) };
        for (did, user, is_author) in told {
            if let Err(unknown) = self.see(&mut seen, did, user, is_author)? {
                return Ok(Err(unknown));
            }
        }
        let pushers = match self.pushers(pull)? {
            Ok(pushers) => pushers,
            Err(unknown) => return Ok(Err(unknown)),
        };
        for user in pushers {
            if let Err(unknown) = self.see(&mut seen, "pushed to", user, true)? {
                return Ok(Err(unknown));
            }
        }
        Ok(Ok(seen.authors))
    }

    /// Takes note of what somebody did to a pull request, if that is a person.
    fn see(
        &self,
        seen: &mut Seen,
        did: &str,
        user: Option<User>,
        is_author: bool,
    ) -> Result<Result<(), Unknown>, Failure> {
        let user = user.unwrap_or_else(|| User { id: 0, login: "an account that is gone".to_owned() });
        if !seen.persons.contains(&user.id) && !self.is_person(&user)? {
            let why = format!("#{} was {did} by `{}`, which is no person's account", seen.number, user.login);
            return Ok(Err(Unknown { why, is_final: true }));
        }
        seen.persons.insert(user.id);
        if is_author {
            seen.authors.insert(user.id);
        }
        Ok(Ok(()))
    }

    /// Who has pushed to the branch of a pull request since it was made, by the feed of its repository. Gitea removes the
    /// events of a pull request's own list when its branch is rebased or its target changes, and has none of what was pushed
    /// before it was opened or while it was closed.
    fn pushers(&self, pull: &PullRequest) -> Result<Result<Vec<Option<User>>, Unknown>, Failure> {
        #[derive(Deserialize)]
        struct Action {
            op_type: String,
            ref_name: String,
            act_user: Option<User>,
            created: Timestamp,
            /// As `{"Commits": […]}`; nothing where the branch was made.
            #[serde(default)]
            content: String,
        }
        let unknown = |why: &str| {
            let why = format!("{why}, so that nobody knows who has pushed to the branch of #{}", pull.number);
            Ok(Err(Unknown { why, is_final: true }))
        };
        let Some(repository) = &pull.head.repo else { return unknown("its repository is gone") };
        let branch = format!("refs/heads/{}", pull.head.label);
        let (owner, name) = (repository.owner.login.as_str(), repository.name.as_str());
        let (mut pushers, mut is_whole) = (Vec::new(), false);
        for page in 1.. {
            let page = page.to_string();
            let query = [("limit", "50"), ("page", page.as_str())];
            let feed: Option<Vec<Action>> =
                self.platform()?.get(&["repos", owner, name, "activities", "feeds"], &query)?;
            let feed = feed.unwrap_or_default();
            let is_last = feed.is_empty();
            // After its merge the branch may be removed, and its name be another's.
            let is_of_it = |action: &Action| {
                action.ref_name == branch && pull.merged_at.is_none_or(|merged| action.created <= merged)
            };
            for action in feed.into_iter().filter(is_of_it) {
                let is_removed = action.op_type == "delete_branch";
                let begins = is_removed || action.content.is_empty();
                if !is_removed {
                    pushers.push(action.act_user);
                }
                is_whole |= begins && !is_removed;
                if begins && action.created <= pull.created_at + FEED_DELAY {
                    return Ok(Ok(pushers));
                }
            }
            if is_last && is_whole {
                return Ok(Ok(pushers));
            }
            if is_last {
                break;
            }
        }
        unknown("Gitea's feed does not go back to where the branch was made")
    }

    /// Whose work several pull requests are together.
    pub fn authors_of<'p>(&self, pulls: impl IntoIterator<Item = &'p PullRequest>) -> Result<Authors, Failure> {
        let mut authors = BTreeSet::new();
        for pull in pulls {
            match self.authors(pull)? {
                Ok(some) => authors.extend(some),
                Err(unknown) => return Ok(Err(unknown)),
            }
        }
        Ok(Ok(authors))
    }

    /// Whether an account is somebody's own: Gitea's `ghost` and `gitea-actions` have negative ids, and what a deploy key
    /// pushes it says of the repository's owner.
    fn is_person(&self, user: &User) -> Result<bool, Failure> {
        let may_be_key = user.login.eq_ignore_ascii_case(self.api.remote.owner.as_str());
        Ok(user.id > 0 && !may_be_key && self.platform()?.get::<Nothing>(&["orgs", &user.login], &[])?.is_none())
    }

    /// Whether somebody who has approved may still do so: Gitea's `official` is as of the approval.
    pub fn may_still_approve(&self, user: &User) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        struct Account {
            id: i64,
            #[serde(default)]
            active: bool,
            #[serde(default)]
            prohibit_login: bool,
        }
        #[derive(Deserialize)]
        struct Branch {
            #[serde(default)]
            effective_branch_protection_name: String,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Protection {
            enable_approvals_whitelist: bool,
            approvals_whitelist_username: Vec<String>,
            approvals_whitelist_teams: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Access {
            permission: String,
            user: User,
        }
        let (gitea, api) = (self.platform()?, &self.api);
        let account: Option<Account> = gitea.get(&["users", &user.login], &[])?;
        if account.is_none_or(|account| account.id != user.id || !account.active || account.prohibit_login) {
            return Ok(false);
        }
        let branch: Option<Branch> = gitea.get(&api.path(&["branches", self.branch()]), &[])?;
        let rule = branch.map(|branch| branch.effective_branch_protection_name).filter(|rule| !rule.is_empty());
        let protection: Protection = match rule {
            Some(rule) => {
                let mut path = api.path(&["branch_protections"]);
                path.push(&rule);
                gitea.get(&path, &[])?.unwrap_or_default()
            }
            None => Protection::default(),
        };
        let teams = self.teams()?;
        if protection.enable_approvals_whitelist {
            let listed =
                protection.approvals_whitelist_username.iter().any(|name| name.eq_ignore_ascii_case(&user.login));
            return Ok(listed
                || self
                    .is_in(user, teams.iter().filter(|t| protection.approvals_whitelist_teams.contains(&t.name)))?);
        }
        let access: Option<Access> = gitea.get(&api.path(&["collaborators", &user.login, "permission"]), &[])?;
        let has_access = |access: Access| access.user.id == user.id && WRITES.contains(&access.permission.as_str());
        // It says `none` of whoever writes by a team that is given parts of a repository.
        let writes = |team: &&Team| team.units_map.get("repo.code").is_some_and(|unit| WRITES.contains(&unit.as_str()));
        Ok(access.is_some_and(has_access) || self.is_in(user, teams.iter().filter(writes))?)
    }

    /// The teams that have to do with the infrastructure repository.
    fn teams(&self) -> Result<Vec<Team>, Failure> {
        // Gitea refuses the question for a repository that is a person's.
        match self.platform()?.get_all(&self.api.path(&["teams"]), &[]) {
            Err(Failure::Refused(words)) if words.contains("not owned by an organization") => Ok(Vec::new()),
            teams => teams,
        }
    }

    fn is_in<'t>(&self, user: &User, teams: impl Iterator<Item = &'t Team>) -> Result<bool, Failure> {
        for team in teams {
            let member: Option<User> =
                self.platform()?.get(&["teams", &team.id.to_string(), "members", &user.login], &[])?;
            if member.is_some_and(|member| member.id == user.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
