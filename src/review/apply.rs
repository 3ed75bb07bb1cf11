//! `goldpath terraform apply`: applies what is on the branch and not yet applied, if it is what was
//! approved.
//!
//! Events come late, twice or not at all, so none is needed: what is on the branch is compared with
//! what is recorded as applied. Each root module is planned again here, and the plan is applied only
//! if its changes are those that somebody saw and approved. Two runs at once are harmless: a plan
//! that another has overtaken is stale for Terraform, and is made again.

use super::comment::{self, Applied, AppliedResult};
use super::judge::{Judged, Planned, Review, Subject, records, with_record, words};
use super::plan::PLAN;
use super::site::{Merged, PullRequest, Record, Records};
use super::terraform::Failed;
use super::{RootModule, Severity};
use anyhow::Result;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What the statuses begin with that an apply sets, followed by `: ` and the root module.
pub(super) const APPLY: &str = "goldpath/apply";

static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A plan that others overtake is made again so often.
const TRIES: usize = 3;

/// One root module that is not applied as it is on the branch.
struct Pending {
    subject: Subject,
    /// The merged pull requests that are about it, the last first.
    pulls: Vec<Merged>,
}

/// What became of one root module.
enum Ended {
    Applied {
        summary: String,
        outputs: Map<String, Value>,
    },
    /// There was nothing to do, or another run has done it.
    Idle(&'static str),
    /// It must not be applied: why, and what to do, and the plan that would have to be approved.
    Refused {
        reason: String,
        asked: Option<String>,
    },
    Failed {
        what: String,
        words: String,
    },
}

impl Review<'_> {
    /// Applies what is on the branch and not yet applied; gives a line a root module, and whether all of it went well.
    ///
    /// # Errors
    /// A server that fails. One root module's fault does not stop the others.
    pub fn apply(&self) -> Result<(Vec<String>, bool)> {
        let head = self.site.head()?;
        let (there, _) = self.site.modules_at(&head)?;
        let applied = self.site.records()?.0;
        let gone = applied.keys().filter(|module| !there.contains_key(module));
        let new = there.iter().filter(|(module, tree)| applied.get(module).is_none_or(|record| record.tree != **tree));
        let modules: BTreeSet<&RootModule> = gone.chain(new.map(|(module, _)| module)).collect();
        if modules.is_empty() {
            return Ok((vec!["everything on the branch is applied".to_owned()], true));
        }
        let mut pulls = self.site.merged_pulls(&modules)?;
        let mut pending = Vec::new();
        for module in modules {
            let pulls = pulls.remove(module).unwrap_or_default();
            pending.push(self.pending(module, &head, pulls, &applied)?);
        }
        let ended = self.side_by_side(&pending, |pending| self.apply_one(pending, &head, &applied));
        let (mut lines, mut well) = (Vec::new(), true);
        let mut told: BTreeMap<u64, Vec<(RootModule, Ended)>> = BTreeMap::new();
        for (pending, ended) in pending.iter().zip(ended) {
            let module = &pending.subject.module;
            let ended = ended
                .unwrap_or_else(|error| Ended::Failed { what: "Goldpath".to_owned(), words: format!("{error:#}") });
            let (state, text) = ended.status();
            well &= state == "success";
            lines.push(format!("{module}: {text}"));
            if self.tell(pending, &ended)?
                && let Some(pull) = pending.content()
            {
                told.entry(pull.number).or_default().push((module.clone(), ended));
            }
        }
        for (number, all) in told {
            let all: Vec<_> =
                all.iter().map(|(module, ended)| Applied { module, commit: &head, result: ended.result() }).collect();
            self.site.write_comment(number, None, &comment::render_applied(&all, &head))?;
        }
        Ok((lines, well))
    }

    fn pending(&self, module: &RootModule, head: &str, pulls: Vec<Merged>, applied: &Records) -> Result<Pending> {
        let before: Vec<_> = applied.get(module).map(|record| record.commit.as_str()).into_iter().collect();
        let content = pulls.iter().find(|merged| merged.brings);
        let changed =
            content.map(|merged| self.site.changed_paths(merged.pull.number)).transpose()?.unwrap_or_default();
        Ok(Pending { subject: self.subject(module, head, &before, &changed)?, pulls })
    }

    fn apply_one(&self, pending: &Pending, head: &str, applied: &Records) -> Result<Ended> {
        let module = &pending.subject.module;
        for _ in 0..TRIES {
            let planned = match self.judge(&pending.subject, true) {
                Judged::Planned(planned) => planned,
                Judged::Refused(findings) => {
                    let first = findings.first().map_or_else(String::new, |f| format!("{} {}", f.place, f.message));
                    let reason = format!("it is denied by policy: {}", first.trim());
                    return Ok(Ended::Refused { reason, asked: None });
                }
                Judged::Failed(failed) => return Ok(self.failed(module, &failed)),
            };
            if self.site.records()?.0.get(module) != applied.get(module) {
                return Ok(Ended::Idle("applied by another run"));
            }
            if planned.plan.changes.is_empty() {
                self.remember(pending, head, &planned, Vec::new())?;
                return Ok(Ended::Idle("no changes"));
            }
            if planned.has(Severity::Denied) {
                let denied = planned.findings.iter().find(|finding| finding.severity == Severity::Denied);
                let message = denied.map_or("", |finding| finding.message.as_str());
                let reason = format!("it is denied by policy: {}: {message}", planned.rules(Severity::Denied));
                return Ok(Ended::Refused { reason, asked: None });
            }
            let approved_by = match self.approved(pending, &planned)? {
                Ok(approved_by) => approved_by,
                Err(reason) => return self.ask_again(pending, &planned, reason),
            };
            self.say(pending, "pending", "being applied", None)?;
            match planned.workspace.apply(&planned.plan) {
                Ok(outputs) => {
                    let summary = planned.plan.changes.summary();
                    self.say(pending, "success", &summary, Some(&planned.digest))?;
                    self.remember(pending, head, &planned, approved_by)?;
                    return Ok(Ended::Applied { summary, outputs });
                }
                // Another run was faster: look again at what is left.
                Err(Failed::Stale) => {}
                Err(failed) => return Ok(self.failed(module, &failed)),
            }
        }
        Ok(Ended::Failed {
            what: "apply".to_owned(),
            words: "others changed the state each time: run it again".to_owned(),
        })
    }

    fn failed(&self, module: &RootModule, failed: &Failed) -> Ended {
        if let Failed::Locked(lock) = failed {
            let age = lock.created.map_or_else(String::new, |created| {
                format!(" since {created} ({} s)", self.now.duration_since(created).as_secs())
            });
            let words = format!(
                "the state is locked by {}{age}, for {}. If that run is dead, release it:\ngoldpath terraform unlock {module} {}",
                lock.who, lock.operation, lock.id
            );
            return Ended::Failed { what: "lock".to_owned(), words };
        }
        let (what, words) = words(failed);
        Ended::Failed { what: what.to_owned(), words }
    }

    /// Who has approved exactly these changes, or why nobody has.
    fn approved(&self, pending: &Pending, planned: &Planned<'_>) -> Result<Result<Vec<String>, String>> {
        let mut first = None;
        for Merged { pull, .. } in &pending.pulls {
            match self.approved_in(pull, pending, planned)? {
                Ok(approved_by) => return Ok(Ok(approved_by)),
                Err(reason) => drop(first.get_or_insert(reason)),
            }
        }
        let branch = &self.site.branch();
        Ok(Err(first.unwrap_or_else(|| format!("it came to `{branch}` without a pull request"))))
    }

    /// Whether one pull request carries the approval of these changes.
    fn approved_in(
        &self,
        pull: &PullRequest,
        pending: &Pending,
        planned: &Planned<'_>,
    ) -> Result<Result<Vec<String>, String>> {
        let (site, module, head) = (&self.site, &pending.subject.module, &pull.head.sha);
        let number = pull.number;
        if site.tree(head, module)?.unwrap_or_default() != pending.subject.tree {
            let branch = site.branch();
            return Ok(Err(format!(
                "the base has moved under it: `{branch}` holds another `{module}` than #{number} showed"
            )));
        }
        let context = format!("{PLAN}: {module}");
        let Some(shown) = site.said(head, &context)?.into_iter().next() else {
            return Ok(Err(format!("#{number} was merged before its plan was there")));
        };
        if !records(&shown.target_url, "changes", &planned.digest) {
            let reason =
                format!("the changes are not those that #{number} showed: the state, or what is real, has moved since");
            return Ok(Err(reason));
        }
        if let Some(commit) = &pull.merge_commit_sha {
            let applied = site.said(commit, &format!("{APPLY}: {module}"))?;
            if applied.iter().any(|s| s.status == "success" && records(&s.target_url, "changes", &planned.digest)) {
                return Ok(Err(format!("what #{number} showed was applied once already, and was undone since")));
            }
        }
        let Some(comment) = site.comment(number, comment::PLAN_MARKER)? else {
            return Ok(Err(format!("somebody has removed the comment with the plan of #{number}")));
        };
        if !site.is_recorded(pull, &comment)? {
            return Ok(Err(format!("somebody has edited the comment with the plan of #{number}")));
        }
        let settings = site.settings;
        if !settings.needs_approval && !planned.has(Severity::NeedsOwner) {
            return Ok(Ok(Vec::new()));
        }
        let given = site.approvals(pull)?;
        if given.is_empty() {
            return Ok(Err(format!("nobody but its author has approved the head commit of #{number}")));
        }
        let seen: Vec<_> = given.into_iter().filter(|approval| approval.at > comment.updated_at).collect();
        if seen.is_empty() {
            return Ok(Err(format!("#{number} was approved before the comment with its plan was last written")));
        }
        let fresh: Vec<_> = seen
            .into_iter()
            .filter(|approval| self.now.duration_since(approval.at).unsigned_abs() <= settings.approval_age)
            .map(|approval| approval.by)
            .collect();
        if fresh.is_empty() {
            let days = settings.approval_age.as_secs() / 86_400;
            return Ok(Err(format!("the approval of #{number} is older than {days} days")));
        }
        if planned.has(Severity::NeedsOwner) && !fresh.iter().any(|by| settings.owners.iter().any(|o| o.as_str() == by))
        {
            let rules = planned.rules(Severity::NeedsOwner);
            return Ok(Err(format!("a platform owner must approve it: {rules}")));
        }
        Ok(Ok(fresh))
    }

    /// Asks for an approval of these changes, in a pull request of its own: Gitea takes none for one that is merged.
    fn ask_again(&self, pending: &Pending, planned: &Planned<'_>, reason: String) -> Result<Ended> {
        let Subject { module, tree, .. } = &pending.subject;
        let from = pending.content().map_or_else(String::new, |pull| format!(" (#{})", pull.number));
        let body = format!(
            "`{module}` on `{}`{from} was not applied: {reason}.\n\nThe plan of what would be applied now is below. \
             Approving and merging this applies exactly that, and changes nothing else. To decline, close it, and \
             revert the change.",
            self.site.branch(),
        );
        let after = pending.pulls.first().map(|merged| merged.pull.number);
        let pull = self.site.ask_again(module, tree, &planned.digest, after, &body)?;
        if pull.is_open() && self.site.said(&pull.head.sha, PLAN)?.first().is_none_or(|last| last.status != "success") {
            self.plan_pull(&pull)?;
        }
        Ok(Ended::Refused { reason, asked: Some(pull.html_url) })
    }

    fn remember(&self, pending: &Pending, head: &str, planned: &Planned<'_>, approved_by: Vec<String>) -> Result<()> {
        let Subject { module, tree, removed, .. } = &pending.subject;
        let record = Record {
            tree: tree.clone(),
            commit: head.to_owned(),
            at: self.now,
            pull_request: pending.content().map(|pull| pull.number),
            approved_by,
            changes: planned.digest.clone(),
            providers: planned.plan.versions.clone(),
        };
        self.site.record(module, (!removed).then_some(&record))
    }

    /// Says in a status what became of it; gives whether that is new.
    fn tell(&self, pending: &Pending, ended: &Ended) -> Result<bool> {
        let (state, text) = ended.status();
        match ended {
            // Said as soon as it was done.
            Ended::Applied { .. } => Ok(true),
            Ended::Idle("applied by another run") => Ok(false),
            Ended::Idle(_) => self.say(pending, state, &text, None).map(|_| false),
            Ended::Refused { asked: Some(url), .. } => self.say_at(pending, state, &text, url),
            Ended::Refused { .. } | Ended::Failed { .. } => self.say(pending, state, &text, None),
        }
    }

    fn say(&self, pending: &Pending, state: &str, text: &str, digest: Option<&str>) -> Result<bool> {
        let url = match (pending.content(), digest) {
            (Some(pull), Some(digest)) => with_record(pull, "changes", digest, 0),
            (Some(pull), None) => pull.html_url.clone(),
            (None, _) => String::new(),
        };
        self.say_at(pending, state, text, &url)
    }

    fn say_at(&self, pending: &Pending, state: &str, text: &str, url: &str) -> Result<bool> {
        let module = &pending.subject.module;
        let merged = pending.content().and_then(|pull| pull.merge_commit_sha.clone());
        let commit = match merged {
            Some(commit) => Some(commit),
            None => self.site.last_commit(module)?,
        };
        match commit {
            Some(commit) => Ok(self.site.say_once(&commit, &format!("{APPLY}: {module}"), state, text, url)?),
            None => Ok(false),
        }
    }
}

impl Pending {
    /// The pull request that brought what is on the branch.
    fn content(&self) -> Option<&PullRequest> {
        self.pulls.iter().find(|merged| merged.brings).map(|merged| &merged.pull)
    }
}

impl Ended {
    fn status(&self) -> (&'static str, String) {
        match self {
            Self::Applied { summary, .. } => ("success", summary.clone()),
            Self::Idle(why) => ("success", (*why).to_owned()),
            Self::Refused { reason, .. } => ("failure", format!("refused: {reason}")),
            Self::Failed { what, words } => {
                ("failure", format!("{what} failed: {}", words.lines().next().unwrap_or_default()))
            }
        }
    }

    fn result(&self) -> AppliedResult<'_> {
        match self {
            Self::Applied { summary, outputs } => AppliedResult::Done { summary, outputs },
            Self::Idle(summary) => AppliedResult::Done { summary, outputs: &NONE },
            Self::Refused { reason, asked: Some(url) } => AppliedResult::Refused { reason, next: url },
            Self::Refused { reason, asked: None } => {
                AppliedResult::Refused { reason, next: "change it in another pull request" }
            }
            Self::Failed { words, .. } => AppliedResult::Failed { words },
        }
    }
}
