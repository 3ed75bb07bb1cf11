//! `goldpath terraform apply`: applies what is on the branch and not yet applied, if it is what was
//! approved.
//!
//! Events come late, twice or not at all, so none is needed: what is on the branch is compared with
//! what is recorded as applied. Each root module is planned again here, and the plan is applied only
//! if its changes are those that somebody saw and approved. Two runs at once are harmless: a plan
//! that another has overtaken is stale for Terraform, and is made again.

use super::comment::{self, Applied, AppliedResult};
use super::judge::{
    Judged, Planned, Purpose, Review, Subject, deny_too_long, records, side_by_side, with_record, words,
};
use super::people::Unknown;
use super::plan::PLAN;
use super::site::{Merged, PullRequest, Record, Records};
use super::terraform::Failed;
use crate::finding::Severity;
use anyhow::Result;
use goldpath::names::RootModule;
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
    /// There was nothing to do.
    Idle,
    /// Another run has done it.
    Overtaken,
    /// It must not be applied: why, what to do, and where there is a plan to approve.
    Refused {
        reason: String,
        next: String,
        url: Option<String>,
    },
    Failed {
        what: String,
        words: String,
    },
}

/// Why nobody's approval counts.
struct Unapproved {
    reason: String,
    /// Whether somebody's could, of the same changes.
    may_be: bool,
}

impl Unapproved {
    fn new(reason: String) -> Self {
        Self { reason, may_be: true }
    }
}

impl From<Unknown> for Unapproved {
    fn from(Unknown { why, is_final }: Unknown) -> Self {
        Self { reason: format!("nobody's approval counts: {why}"), may_be: !is_final }
    }
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
        let (mut lines, mut well, mut pending) = (Vec::new(), true, Vec::new());
        for module in modules {
            match self.pending(module, &head, pulls.remove(module).unwrap_or_default(), &applied) {
                Ok(found) => pending.push(found),
                Err(error) => {
                    lines.push(format!("{module}: it cannot be read: {error:#}"));
                    well = false;
                }
            }
        }
        let ended =
            side_by_side(self.site.settings.parallel, &pending, |pending| self.apply_one(pending, &head, &applied));
        let mut told: BTreeMap<u64, Vec<(&RootModule, &Ended)>> = BTreeMap::new();
        let ended: Vec<_> =
            ended.into_iter().map(|ended| ended.unwrap_or_else(|error| Ended::broken(&error))).collect();
        for (pending, ended) in pending.iter().zip(&ended) {
            let module = &pending.subject.module;
            let (state, text) = ended.status();
            well &= state == "success";
            lines.push(format!("{module}: {text}"));
            if self.tell(pending, ended)? {
                // Where it came from, and where it was approved again.
                for merged in pending.pulls.iter().take(1).chain(pending.content()) {
                    let told = told.entry(merged.pull.number).or_default();
                    if told.last().is_none_or(|(last, _)| *last != module) {
                        told.push((module, ended));
                    }
                }
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
        let nothing = BTreeSet::new();
        let changed = pulls.iter().find(|merged| merged.brings_it).map_or(&nothing, |merged| &merged.changed);
        Ok(Pending { subject: self.subject(module, head, &before, changed)?, pulls })
    }

    fn apply_one(&self, pending: &Pending, head: &str, applied: &Records) -> Result<Ended> {
        let module = &pending.subject.module;
        for _ in 0..TRIES {
            let mut planned = match self.judge(&pending.subject, Purpose::Apply) {
                Judged::Planned(planned) => planned,
                Judged::Refused(findings) => {
                    let first = findings.first().map_or_else(String::new, |f| format!("{} {}", f.place, f.message));
                    let reason = format!("it is denied by policy: {}", first.trim());
                    return Ok(Ended::denied(reason));
                }
                Judged::Failed(failed) => return Ok(self.failed(module, &failed)),
            };
            if self.site.records()?.0.get(module) != applied.get(module) {
                return Ok(Ended::Overtaken);
            }
            if planned.plan.changes.is_empty() {
                self.remember(pending, head, &planned, Vec::new())?;
                return Ok(Ended::Idle);
            }
            if let Some(denied) = denied(&planned) {
                return Ok(denied);
            }
            let approved_by = match self.approved(pending, &planned)? {
                Ok(approved_by) => approved_by,
                Err(Unapproved { reason, may_be: true }) => {
                    // What nobody can read is nobody's to approve.
                    if let Err(failed) = planned.tell() {
                        return Ok(self.failed(module, &failed));
                    }
                    deny_too_long(&mut [&mut *planned]);
                    return denied(&planned).map_or_else(|| self.ask_again(pending, &planned, reason), Ok);
                }
                Err(Unapproved { reason, may_be: false }) => {
                    let next = "revert it, and propose it again from a branch that a person has pushed".to_owned();
                    return Ok(Ended::Refused { reason, next, url: None });
                }
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
    fn approved(&self, pending: &Pending, planned: &Planned<'_>) -> Result<Result<Vec<String>, Unapproved>> {
        let mut first = None;
        for merged in &pending.pulls {
            match self.approved_in(&merged.pull, pending, planned)? {
                Err(unapproved) if unapproved.may_be => drop(first.get_or_insert(unapproved)),
                decided => return Ok(decided),
            }
        }
        let branch = &self.site.branch();
        Ok(Err(first.unwrap_or_else(|| Unapproved::new(format!("it came to `{branch}` without a pull request")))))
    }

    /// Whether one pull request carries the approval of these changes.
    fn approved_in(
        &self,
        pull: &PullRequest,
        pending: &Pending,
        planned: &Planned<'_>,
    ) -> Result<Result<Vec<String>, Unapproved>> {
        let (site, module, head) = (&self.site, &pending.subject.module, &pull.head.sha);
        let number = pull.number;
        let unapproved = |reason: String| Ok(Err(Unapproved::new(reason)));
        if site.tree(head, module)?.unwrap_or_default() != pending.subject.tree {
            let branch = site.branch();
            return unapproved(format!(
                "the base has moved under it: `{branch}` holds another `{module}` than #{number} showed"
            ));
        }
        let context = format!("{PLAN}: {module}");
        let Some(shown) = site.said_in(pull, &context)?.into_iter().next() else {
            return unapproved(format!("#{number} was merged before its plan was there"));
        };
        if shown.status != "success" {
            return unapproved(format!("#{number} showed no plan that can be approved: {}", shown.description));
        }
        if !records(&shown.target_url, "changes", &planned.digest) {
            let reason =
                format!("the changes are not those that #{number} showed: the state, or what is real, has moved since");
            return unapproved(reason);
        }
        if let Some(commit) = &pull.merge_commit_sha {
            let applied = site.said(commit, &format!("{APPLY}: {module}"))?;
            if applied.iter().any(|s| s.status == "success" && records(&s.target_url, "changes", &planned.digest)) {
                return unapproved(format!("what #{number} showed was applied once already, and was undone since"));
            }
        }
        let Some(comment) = site.comment(number, comment::PLAN_MARKER)? else {
            return unapproved(format!("somebody has removed the comment with the plan of #{number}"));
        };
        if !site.is_recorded(pull, &comment)? {
            return unapproved(format!("somebody has edited the comment with the plan of #{number}"));
        }
        if !site.has_its_file(pull, &comment)? {
            return unapproved(format!("somebody has removed the file with the whole plan of #{number}"));
        }
        let settings = site.settings;
        if !settings.needs_approval && !planned.has(Severity::NeedsOwner) {
            return Ok(Ok(Vec::new()));
        }
        // Who approves again what is merged must be none of those who wrote it either.
        let content = pending.content().map(|merged| &merged.pull).filter(|content| content.number != number);
        let authors = match site.authors_of(content.into_iter().chain([pull]))? {
            Ok(authors) => authors,
            Err(unknown) => return Ok(Err(unknown.into())),
        };
        let given = site.approvals(pull, &authors)?;
        if given.is_empty() {
            return unapproved(format!("nobody but its author has approved the head commit of #{number}"));
        }
        let seen: Vec<_> = given.into_iter().filter(|approval| approval.at > comment.updated_at).collect();
        if seen.is_empty() {
            return unapproved(format!("#{number} was approved before the comment with its plan was last written"));
        }
        let Some(since) = site.recorded_since(pull, &comment)? else {
            return unapproved(format!("somebody has edited the comment with the plan of #{number}, and put it back"));
        };
        let seen: Vec<_> = seen.into_iter().filter(|approval| approval.at > since).collect();
        if seen.is_empty() {
            return unapproved(format!("#{number} was approved before its plan was recorded"));
        }
        let fresh: Vec<_> = seen
            .into_iter()
            .filter(|approval| self.now.duration_since(approval.at).unsigned_abs() <= settings.approval_age)
            .map(|approval| approval.by)
            .collect();
        if fresh.is_empty() {
            let days = settings.approval_age.as_secs() / 86_400;
            return unapproved(format!("the approval of #{number} is older than {days} days"));
        }
        let (mut still, mut not) = (Vec::new(), Vec::new());
        for by in fresh {
            if site.may_still_approve(&by)? { still.push(by) } else { not.push(by) }
        }
        if let ([], [by, ..]) = (still.as_slice(), not.as_slice()) {
            return unapproved(format!("`{}`, who has approved #{number}, may not do so any more", by.login));
        }
        if planned.has(Severity::NeedsOwner) && !still.iter().any(|by| site.is_owner(by)) {
            let rules = planned.rules(Severity::NeedsOwner);
            let mistaken = still.iter().find_map(|by| site.mistaken_for_owner(by));
            let mistaken = mistaken.map_or_else(String::new, |why| format!("; {why}"));
            return unapproved(format!("a platform owner must approve it: {rules}{mistaken}"));
        }
        Ok(Ok(still.into_iter().map(|by| by.login).collect()))
    }

    /// Asks for an approval of these changes, in a pull request of its own: Gitea takes none for one that is merged.
    fn ask_again(&self, pending: &Pending, planned: &Planned<'_>, reason: String) -> Result<Ended> {
        let Subject { module, tree, .. } = &pending.subject;
        let from = pending.content().map_or_else(String::new, |merged| format!(" (#{})", merged.pull.number));
        let body = format!(
            "`{module}` on `{}`{from} was not applied: {reason}.\n\nThe plan of what would be applied now is below. \
             Approving and merging this applies exactly that, and changes nothing else. To decline, close it, and \
             revert the change.",
            self.site.branch(),
        );
        let after = pending.pulls.first().map(|merged| merged.pull.number);
        let pull = self.site.ask_again(module, tree, &planned.digest, after, &body)?;
        if pull.is_open() && self.site.said_in(&pull, PLAN)?.first().is_none_or(|last| last.status != "success") {
            self.plan_pull(&pull, 1)?;
        }
        let next = format!("read the plan in {}, approve and merge it", pull.html_url);
        Ok(Ended::Refused { reason, next, url: Some(pull.html_url) })
    }

    fn remember(&self, pending: &Pending, head: &str, planned: &Planned<'_>, approved_by: Vec<String>) -> Result<()> {
        let Subject { module, tree, removed, .. } = &pending.subject;
        let record = Record {
            tree: tree.clone(),
            commit: head.to_owned(),
            at: self.now,
            pull_request: pending.content().map(|merged| merged.pull.number),
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
            Ended::Overtaken => Ok(false),
            // A run that was killed may have said what it did.
            Ended::Idle if self.has_succeeded(pending)? => Ok(false),
            Ended::Idle => self.say(pending, state, &text, None).map(|_| false),
            Ended::Refused { url: Some(url), .. } => self.say_at(pending, state, &text, url),
            Ended::Refused { .. } | Ended::Failed { .. } => self.say(pending, state, &text, None),
        }
    }

    fn say(&self, pending: &Pending, state: &str, text: &str, digest: Option<&str>) -> Result<bool> {
        let url = match (pending.content(), digest) {
            (Some(merged), Some(digest)) => with_record(&merged.pull, "changes", digest, 0),
            (Some(merged), None) => merged.pull.html_url.clone(),
            (None, _) => String::new(),
        };
        self.say_at(pending, state, text, &url)
    }

    fn say_at(&self, pending: &Pending, state: &str, text: &str, url: &str) -> Result<bool> {
        match self.commit_of(pending)? {
            Some(commit) => Ok(self.site.say_once(&commit, &pending.context(), state, text, url)?),
            None => Ok(false),
        }
    }

    fn has_succeeded(&self, pending: &Pending) -> Result<bool> {
        let Some(commit) = self.commit_of(pending)? else { return Ok(false) };
        Ok(self.site.said(&commit, &pending.context())?.first().is_some_and(|last| last.status == "success"))
    }

    /// The commit that brought it to the branch, of which is said what became of it.
    fn commit_of(&self, pending: &Pending) -> Result<Option<String>> {
        match pending.content().and_then(|merged| merged.pull.merge_commit_sha.clone()) {
            Some(commit) => Ok(Some(commit)),
            None => Ok(self.site.last_commit(&pending.subject.module)?),
        }
    }
}

/// What becomes of a plan that is denied; nothing for any other.
fn denied(planned: &Planned<'_>) -> Option<Ended> {
    let first = planned.findings.iter().find(|finding| finding.severity == Severity::Denied)?;
    let rules = planned.rules(Severity::Denied);
    Some(Ended::denied(format!("it is denied by policy: {rules}: {}", first.message)))
}

impl Pending {
    /// The pull request that brought what is on the branch.
    fn content(&self) -> Option<&Merged> {
        self.pulls.iter().find(|merged| merged.brings_it)
    }

    fn context(&self) -> String {
        format!("{APPLY}: {}", self.subject.module)
    }
}

impl Ended {
    fn broken(error: &anyhow::Error) -> Self {
        Self::Failed { what: "Goldpath".to_owned(), words: format!("{error:#}") }
    }

    fn denied(reason: String) -> Self {
        Self::Refused { reason, next: "change it in another pull request".to_owned(), url: None }
    }

    fn status(&self) -> (&'static str, String) {
        match self {
            Self::Applied { summary, .. } => ("success", summary.clone()),
            Self::Idle => ("success", "no changes".to_owned()),
            Self::Overtaken => ("success", "applied by another run".to_owned()),
            Self::Refused { reason, .. } => ("failure", format!("refused: {reason}")),
            Self::Failed { what, words } => {
                ("failure", format!("{what} failed: {}", words.lines().next().unwrap_or_default()))
            }
        }
    }

    fn result(&self) -> AppliedResult<'_> {
        match self {
            Self::Applied { summary, outputs } => AppliedResult::Done { summary, outputs },
            Self::Idle | Self::Overtaken => AppliedResult::Done { summary: "no changes", outputs: &NONE },
            Self::Refused { reason, next, .. } => AppliedResult::Refused { reason, next },
            Self::Failed { words, .. } => AppliedResult::Failed { words },
        }
    }
}
