//! A repository that is asked about all of its requests.

use super::pull_request::{PREFIXES, Pull, branch_of};
use super::sight::MISSING;
use super::{Api, Failure, Gitea, PastCommit, Sight, Snapshot, Touched};
use crate::config::{Delivery, GiteaRemote, Patience};
use crate::file_tree::RelativePath;
use crate::http::at_once;
use crate::outcome::{Action, PullRequest, PullRequestState};
use crate::outputs::Role;
use crate::promise::identify;
use crate::repository::{Held, Holdings, REQUEST_TRAILER, module_of};
use crate::request::Identity;
use crate::status::Delivered;
use anyhow::{Context, Result, bail};
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a call is made again that has no answer.
const RETRIES: u32 = 2;

/// A repository in Gitea, about which more can be asked.
pub struct Survey {
    api: Arc<Api>,
    /// Its closed pull requests, the newest first, once somebody needs them.
    closed: Mutex<Option<Arc<Vec<Pull>>>>,
}

impl Survey {
    /// Prepares to ask.
    ///
    /// # Errors
    /// A token or certificate that cannot be read.
    pub fn open(remote: &GiteaRemote, patience: &Patience) -> Result<Self> {
        let gitea = Gitea::open(remote, patience.call)?.retrying(RETRIES);
        Ok(Self { api: Arc::new(Api { gitea, remote: remote.clone() }), closed: Mutex::default() })
    }

    /// Reads what the branch holds, and what open pull requests propose.
    ///
    /// # Errors
    /// A repository or branch that is not there, a server that fails.
    pub fn hold(self, role: Role) -> Result<Holdings> {
        let api = &self.api;
        let branch = api.remote.branch.as_str();
        let head = match api.info()? {
            // The first delivery makes it.
            None if api.remote.create => return Ok(Holdings { survey: Some(self), ..Holdings::default() }),
            None => bail!(MISSING),
            Some(info) if info.empty => None,
            Some(_) => Some(api.head(branch)?.with_context(|| format!("it has no branch `{branch}`"))?),
        };
        let snapshot = Snapshot::new(api.clone(), head);
        let mut holdings = Holdings::read(role, &snapshot, false)?;
        let mut pulls: Vec<Pull> = api.gitea.get_all(&api.path(&["pulls"]), &[("state", "open")])?;
        pulls.retain(|pull| pull.is_into(branch));
        // Of two of one request, which somebody has opened again, the newer one is what it asks for.
        pulls.sort_by_key(|pull| pull.number);
        let known = |request: &Identity| holdings.requests.get(request)?.as_ref().ok()?.delivered.module.clone();
        let found = at_once(8, &pulls, |pull| self.read(role, pull, known))?;
        for (request, held) in found.into_iter().flatten() {
            match holdings.requests.entry(request) {
                // What is damaged is told as long as it is.
                Entry::Occupied(entry) if entry.get().is_err() => {}
                entry => drop(entry.insert_entry(Ok(held))),
            }
        }
        holdings.survey = Some(self);
        Ok(holdings)
    }

    /// The request that an open pull request is for, and what it proposes; nothing for one that is none of ours.
    fn read(
        &self,
        role: Role,
        pull: &Pull,
        known: impl Fn(&Identity) -> Option<String>,
    ) -> Result<Option<(Identity, Held)>> {
        let (api, label) = (&self.api, pull.head.label.as_str());
        let rest = |(prefix, action): (&str, Action)| Some((label.strip_prefix(prefix)?.strip_prefix('/')?, action));
        let Some((rest, action)) = PREFIXES.into_iter().find_map(rest) else { return Ok(None) };
        let is_its = |request: &Identity| branch_of(request, action) == label;
        let by_name = identify(rest).ok().filter(is_its);
        let head: Option<PastCommit> = api.gitea.get(&api.path(&["git", "commits", &pull.head.sha]), &[])?;
        let (message, parents) = head.map(|head| (head.commit.message, head.parents.len())).unwrap_or_default();
        let trailers = message.lines().filter_map(|line| line.strip_prefix(REQUEST_TRAILER));
        let by_commit = trailers.filter_map(|request| request.parse().ok()).find(is_its);
        // A merge of the base leaves what is ours as it is.
        let state = match by_commit.is_none() && parents < 2 {
            true => PullRequestState::Edited,
            false => PullRequestState::Open,
        };
        // A branch whose name would be too long has a digest in it.
        let Some(request) = by_name.or(by_commit) else { return Ok(None) };
        let module = match known(&request) {
            Some(module) => Some(module),
            None => {
                let number = pull.number.to_string();
                let touched: Vec<Touched> = api.gitea.get_all(&api.path(&["pulls", &number, "files"]), &[])?;
                let paths = touched.iter().filter_map(|file| RelativePath::parse(&file.filename).ok());
                let paths: Vec<_> = paths.filter(|path| !path.is_hidden()).collect();
                module_of(role, &request, paths.iter())
            }
        };
        let commit = Some(pull.head.sha.clone());
        let delivered = Delivered { commit, files: 0, module, pull_request: pull.outcome(state) };
        Ok(Some((request, Held::new(action, delivered))))
    }

    /// The pull request of a request that is neither on the branch nor proposed, where a person has closed it.
    ///
    /// # Errors
    /// A server that fails.
    pub fn declined(&self, request: &Identity) -> Result<Option<Held>, Failure> {
        let branch = branch_of(request, Action::Configure);
        let is_declined = |pull: &Pull| !pull.is_open() && !pull.is_merged();
        if self.any_pull(&branch)?.is_none_or(|pull| !is_declined(&pull)) {
            return Ok(None);
        }
        // The last of them is what somebody has declined.
        let is_it = |pull: &&Pull| {
            pull.head.label == branch && pull.is_into(self.api.remote.branch.as_str()) && is_declined(pull)
        };
        let last = self.closed()?.iter().filter(is_it).max_by_key(|pull| pull.number).cloned();
        Ok(last.map(|pull| {
            let pull_request = pull.outcome(PullRequestState::Closed);
            let delivered = Delivered { commit: None, files: 0, module: None, pull_request };
            Held::new(Action::Configure, delivered)
        }))
    }

    /// What became of what is held of a request, as [`super::look`]; `delivered` gets the pull request that brought it.
    ///
    /// # Errors
    /// A server that fails.
    pub fn look(
        &self,
        request: &Identity,
        delivered: &mut Delivered,
        state_owner: Option<&str>,
        review_user: Option<(&str, Option<i64>)>,
    ) -> Result<Sight> {
        if let (None, Some(module)) = (&delivered.pull_request, &delivered.module) {
            delivered.pull_request = self.merged(request, module)?;
        }
        self.api.look(delivered, request, state_owner, review_user)
    }

    /// The pull request that brought a root module to the branch as it is: what applies it says so at its merge.
    fn merged(&self, request: &Identity, module: &str) -> Result<Option<PullRequest>, Failure> {
        let remote = &self.api.remote;
        if remote.delivery == Delivery::Commit {
            return Ok(None);
        }
        let Some(last) = self.api.last_change(remote.branch.as_str(), module)? else { return Ok(None) };
        let branch = branch_of(request, Action::Configure);
        let is_it = |pull: &Pull| pull.head.label == branch && pull.is_into(remote.branch.as_str()) && pull.is_merged();
        if let Some(pull) = self.any_pull(&branch)?.filter(|pull| is_it(pull) && pull.has_brought(&last.sha)) {
            return Ok(pull.outcome(PullRequestState::Merged));
        }
        Ok(self.closed()?.iter().find(|pull| is_it(pull)).and_then(|pull| pull.outcome(PullRequestState::Merged)))
    }

    /// One of the pull requests of a branch: Gitea gives any of several.
    fn any_pull(&self, branch: &str) -> Result<Option<Pull>, Failure> {
        let api = &self.api;
        api.gitea.get(&api.path(&["pulls", api.remote.branch.as_str(), branch]), &[])
    }

    fn closed(&self) -> Result<Arc<Vec<Pull>>, Failure> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pulls) = &*closed {
            return Ok(pulls.clone());
        }
        let pulls = self.api.gitea.get_all(&self.api.path(&["pulls"]), &[("state", "closed")])?;
        Ok(closed.insert(Arc::new(pulls)).clone())
    }
}
