//! What would be done to one root module, and what the rules say of it: the same for the plan that
//! is shown and for the one that is applied.

use super::changes::{Action, Changes};
use super::comment::{self, Outcome, WHOLE_LIMIT};
use super::kept::without_kept;
use super::policy::{Context, Policy};
use super::site::{Folder, PullRequest, Site, approval_path};
use super::source;
use super::terraform::{Failed, Mode, Plan, Terraform, Workspace};
use crate::finding::{Finding, Severity};
use anyhow::{Context as _, Result};
use goldpath::config::Config;
use goldpath::config::review::Backend;
use goldpath::file_tree::FileTree;
use goldpath::names::RootModule;
use goldpath::repository::inventory;
use goldpath::request::Identity;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What every command of a review needs.
pub(super) struct Review<'c> {
    pub site: Site<'c>,
    pub terraform: Terraform,
    pub policy: Policy<'c>,
    pub now: Timestamp,
}

/// One root module, as it is at one commit.
pub(super) struct Subject {
    pub module: RootModule,
    /// Its last files, where it is being removed.
    pub files: FileTree,
    /// The id of its tree in git; empty where it is being removed.
    pub tree: String,
    pub removed: bool,
    /// Who owns it.
    pub request: Option<Identity>,
    /// What its pull request changes beside it.
    pub stray: Vec<String>,
    odd: Vec<String>,
}

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// People are to read it.
    Show,
    /// It is to be applied: the state is locked while it is made.
    Apply,
}

/// What was found out of a root module.
pub(super) enum Judged<'r> {
    Planned(Box<Planned<'r>>),
    /// It was not even planned.
    Refused(Vec<Finding>),
    Failed(Failed),
}

/// A plan, and what the rules say of it.
pub(super) struct Planned<'r> {
    pub workspace: Workspace<'r>,
    pub plan: Plan,
    /// In Terraform's words, where it is to be shown and can be.
    pub text: String,
    pub findings: Vec<Finding>,
    pub digest: String,
}

impl Planned<'_> {
    /// Whether there is a finding of this kind.
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity == severity)
    }

    /// The rules that have a finding of this kind, as `destroy, owner`.
    pub fn rules(&self, severity: Severity) -> String {
        rules(&self.findings, severity)
    }

    /// What a comment tells of it: whether it `destroys` the whole root module, and by other providers than last time.
    pub fn outcome(&self, destroys: bool, providers_changed: bool) -> Outcome<'_> {
        Outcome::Plan {
            changes: &self.plan.changes,
            text: &self.text,
            digest: &self.digest,
            findings: &self.findings,
            destroys: destroys && !self.plan.changes.resources.iter().any(|change| change.action == Action::Forget),
            versions: &self.plan.versions,
            providers_changed,
        }
    }

    /// Has Terraform tell it in its words.
    ///
    /// # Errors
    /// See [`Failed`]; what is too long for people is denied, and no error.
    pub fn tell(&mut self) -> Result<(), Failed> {
        match self.workspace.show(&self.plan, WHOLE_LIMIT) {
            Ok(text) => self.text = text,
            Err(Failed::TooLong { size, .. }) => self.deny(comment::too_long(size, 0)),
            Err(failed) => return Err(failed),
        }
        Ok(())
    }

    /// Denies it: its text is of no use to anybody then.
    fn deny(&mut self, finding: Finding) {
        self.text.clear();
        self.findings.push(finding);
        self.findings.sort();
    }
}

/// Denies those of a pull request's plans, as they have been told, that cannot be shown whole beside the others: nobody
/// can approve what nobody can read.
pub(super) fn deny_too_long(plans: &mut [&mut Planned<'_>]) {
    let outcomes: Vec<_> = plans.iter().map(|planned| planned.outcome(false, false)).collect();
    for (place, finding) in comment::without_room(&outcomes) {
        plans[place].deny(finding);
    }
}

/// The rules that have a finding of this kind, as `destroy, owner`.
pub(super) fn rules(findings: &[Finding], severity: Severity) -> String {
    let rules: BTreeSet<_> = findings.iter().filter(|f| f.severity == severity).map(|f| f.rule.as_str()).collect();
    rules.into_iter().collect::<Vec<_>>().join(", ")
}

impl<'c> Review<'c> {
    /// Prepares to review what the configuration names.
    ///
    /// # Errors
    /// See [`Site::open`]; a rule of the platform's that is wrong.
    pub fn open(config: &'c Config, now: Timestamp) -> Result<Self> {
        let site = Site::open(config)?;
        let registry = match &site.settings.terraform.backend {
            Backend::Gitea => {
                let owner = config.state_owner.as_ref().context("the configuration has no `state.owner`")?;
                Some(site.registry(owner.as_str()))
            }
            Backend::Other { .. } => None,
        };
        let terraform = Terraform::new(&site.settings.terraform, registry)?;
        let policy = Policy::new(&site.settings.policy)?;
        Ok(Self { site, terraform, policy, now })
    }

    /// A root module as it is at `commit`, or, where it is not there, as it was at the first of `before` that has it:
    /// to be destroyed. `changed` are the paths that its pull request changes.
    ///
    /// # Errors
    /// A server that fails; a root module that none of the commits has.
    pub fn subject(
        &self,
        module: &RootModule,
        commit: &str,
        before: &[&str],
        changed: &BTreeSet<String>,
    ) -> Result<Subject> {
        let mut found = self.site.folder(commit, module)?.map(|folder| (folder, commit, false));
        for old in before {
            if found.is_none() {
                found = self.site.folder(old, module)?.map(|folder| (folder, *old, true));
            }
        }
        let (Folder { tree, files, odd }, at, removed) =
            found.with_context(|| format!("there is no root module `{module}`, and no version of it that was"))?;
        let request = self.site.owner(at, module, changed)?;
        let inventory = request.as_ref().map(inventory::path_of).transpose()?;
        let (folder, approval) = (format!("{module}/"), approval_path(module));
        let is_stray = |path: &&String| {
            !path.starts_with(&folder)
                && **path != approval
                && inventory.as_ref().is_none_or(|inventory| inventory.as_str() != path.as_str())
        };
        let stray = changed.iter().filter(is_stray).cloned().collect();
        let tree = if removed { String::new() } else { tree };
        Ok(Subject { module: module.clone(), files, tree, removed, request, stray, odd })
    }

    /// Plans, and asks the rules.
    pub fn judge(&self, subject: &Subject, purpose: Purpose) -> Judged<'_> {
        self.try_to_judge(subject, purpose).unwrap_or_else(Judged::Failed)
    }

    fn try_to_judge(&self, subject: &Subject, purpose: Purpose) -> Result<Judged<'_>, Failed> {
        let faults = self.faults(subject);
        if !faults.is_empty() {
            return Ok(Judged::Refused(faults));
        }
        let kept = if subject.removed { without_kept(&subject.files) } else { None };
        let mode = match (&kept, subject.removed) {
            (Some(_), _) => Mode::Unrefreshed,
            (None, true) => Mode::Destroy,
            (None, false) => Mode::Normal,
        };
        let workspace = self.terraform.open(&subject.module, kept.as_ref().unwrap_or(&subject.files))?;
        if purpose == Purpose::Show && kept.is_none() {
            workspace.check_format()?;
            workspace.validate()?;
        }
        let mut plan = workspace.plan(mode, purpose == Purpose::Apply)?;
        // Providers read some things otherwise than they were written: only what the apply touches is news.
        let touched: BTreeSet<_> = plan.changes.resources.iter().map(|resource| resource.address.clone()).collect();
        plan.changes.drift.retain(|drift| touched.contains(&drift.address));
        let organizations = self.organizations(&plan.changes)?;
        let context = Context {
            module: &subject.module,
            request: subject.request.as_ref(),
            deletes: subject.removed,
            organizations: &organizations,
            stray: &subject.stray,
            now: self.now,
        };
        let findings = self.policy.check(&context, &plan.changes, &plan.json)?;
        let digest = plan.changes.digest(&subject.tree);
        let mut planned = Planned { workspace, plan, text: String::new(), findings, digest };
        if purpose == Purpose::Show {
            planned.tell()?;
        }
        Ok(Judged::Planned(Box::new(planned)))
    }

    /// What keeps a root module from being planned at all.
    pub fn faults(&self, subject: &Subject) -> Vec<Finding> {
        let mut faults = source::check(&subject.files, &self.site.settings.policy);
        faults.extend(subject.odd.iter().map(|odd| Finding {
            severity: Severity::Denied,
            rule: "root-module".to_owned(),
            place: String::new(),
            message: format!("it has {odd}: remove that"),
        }));
        faults
    }

    /// What the organisations that are to be destroyed still hold.
    fn organizations(&self, changes: &Changes) -> Result<BTreeMap<String, Vec<String>>> {
        let goes = |action| matches!(action, Action::Delete | Action::Replace);
        let names = changes.resources.iter().filter(|r| r.kind == "gitea_org" && goes(r.action));
        names
            .filter_map(|resource| resource.before["name"].as_str())
            .map(|name| Ok((name.to_owned(), self.site.content_of_organization(name)?)))
            .collect()
    }
}

/// Does something with each, at most `at_once` of them at a time; gives the results in the order of `items`.
pub(super) fn side_by_side<T: Sync, R: Send>(at_once: usize, items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (items, results) = (Mutex::new(items.iter().enumerate()), Mutex::new(Vec::new()));
    let take = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((index, item)) = take() {
                    let result = each(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What a program's failure is called, and its words.
pub(super) fn words(failed: &Failed) -> (&str, String) {
    match failed {
        Failed::Failed { what, words } => (what, words.clone()),
        other => ("Terraform", format!("{other:#}")),
    }
}

/// A pull request's address, with what our user recorded about it.
pub(super) fn with_record(pull: &PullRequest, key: &str, value: &str, comment: u64) -> String {
    format!("{}?{key}={value}#issuecomment-{comment}", pull.html_url)
}

/// Whether an address that [`with_record`] made records this.
pub(super) fn records(url: &str, key: &str, value: &str) -> bool {
    url.contains(&format!("?{key}={value}#"))
}
