//! `goldpath terraform plan`: shows in each open pull request what merging it would do.
//!
//! What is shown is recorded as well: the digest of each root module's changes, and that of the
//! comment, in statuses of our own user, which nobody can change. Approving counts from the moment
//! on that the comment was last written.

use super::comment::{self, Outcome, Page};
use super::judge::{Judged, Planned, Purpose, Review, Subject, deny_too_long, rules, side_by_side, with_record, words};
use super::people::Authors;
use super::site::{Comment, Merged, PullRequest, approved_module, comment_record};
use crate::finding::Severity;
use anyhow::{Context, Result, ensure};
use goldpath::digest::sha256;
use goldpath::names::RootModule;
use std::collections::{BTreeMap, BTreeSet};

/// What the statuses begin with that a plan sets; followed by `: ` and the root module, or alone for
/// the whole pull request.
pub(super) use goldpath::platform::PLAN;

impl Review<'_> {
    /// Plans the open pull requests that have no plan for their head commit, or the one of a number;
    /// gives a line each.
    ///
    /// # Errors
    /// A server that fails. One pull request's fault is in its own status, and does not stop the others.
    pub fn plan(&self, only: Option<u64>) -> Result<(Vec<String>, bool)> {
        let pulls = match only {
            Some(number) => {
                let pull = self.site.pull(number)?;
                // What is merged shows what was approved.
                ensure!(pull.is_open(), "#{number} is not open");
                vec![pull]
            }
            None => self.site.open_pulls()?,
        };
        let mut due = Vec::new();
        for pull in pulls {
            let last = self.site.said_in(&pull, PLAN)?.into_iter().next();
            let is_planned = last.as_ref().is_some_and(|last| last.status == "success");
            // Somebody is at it, or was killed.
            let is_claimed = last.is_some_and(|last| {
                last.status == "pending"
                    && last.description == BEING_PLANNED
                    && self.now.duration_since(last.created_at).unsigned_abs() < self.site.settings.terraform.timeout
            });
            if only.is_none() && (is_planned || is_claimed) {
                continue;
            }
            due.push(pull);
        }
        let parallel = self.site.settings.parallel;
        let at_once = due.len().clamp(1, parallel);
        let planned = side_by_side(at_once, &due, |pull| self.plan_pull(pull, parallel / at_once));
        let (mut lines, mut well) = (Vec::new(), true);
        for (pull, planned) in due.iter().zip(planned) {
            let line = match planned {
                Ok(line) => line,
                Err(error) => {
                    well = false;
                    let text = format!("it could not be planned: {error:#}");
                    self.site.say(&pull.head.sha, PLAN, "error", &text, &pull.html_url)?;
                    text
                }
            };
            lines.push(format!("#{}: {line}", pull.number));
        }
        if lines.is_empty() {
            lines.push("every open pull request is planned".to_owned());
        }
        Ok((lines, well))
    }

    /// Plans one pull request, `at_once` root modules of it at a time; gives the line that sums it up.
    pub(super) fn plan_pull(&self, pull: &PullRequest, at_once: usize) -> Result<String> {
        let (site, head) = (&self.site, pull.head.sha.as_str());
        site.say(head, PLAN, "pending", BEING_PLANNED, &pull.html_url)?;
        let base = site.head()?;
        let changed = site.changed_paths(pull.number)?;
        let (modules, misnamed) = self.modules_of(head, &base, &changed)?;
        let records = site.records()?.0;
        let (mut subjects, mut contents) = (Vec::new(), Vec::new());
        for module in &modules {
            let record = records.get(module);
            let mut before = vec![base.as_str()];
            before.extend(record.map(|record| record.commit.as_str()));
            let brought = self.brought(module, &changed)?;
            let all = brought.as_ref().map(|content| &content.changed | &changed);
            subjects.push(self.subject(module, head, &before, all.as_ref().unwrap_or(&changed))?);
            contents.extend(brought.map(|content| content.pull));
        }
        let mut judged = side_by_side(at_once, &subjects, |subject| self.judge(subject, Purpose::Show));
        let plans =
            judged.iter_mut().filter_map(|judged| if let Judged::Planned(p) = judged { Some(&mut **p) } else { None });
        deny_too_long(&mut plans.collect::<Vec<_>>());
        let failures: Vec<_> = judged.iter().map(|judged| failure(judged)).collect();
        let planned: Vec<_> = subjects
            .iter()
            .zip(&judged)
            .zip(&failures)
            .map(|((subject, judged), failure)| comment::Planned {
                module: &subject.module,
                outcome: match (judged, failure) {
                    (Judged::Planned(planned), _) => {
                        let record = records.get(&subject.module);
                        let is_other = record.is_some_and(|record| record.providers != planned.plan.versions);
                        planned.outcome(subject.removed, is_other)
                    }
                    (Judged::Refused(findings), _) => Outcome::Refused(findings),
                    (Judged::Failed(_), failure) => {
                        let (what, words) = failure.as_ref().map_or(("Terraform", ""), |(w, t)| (w, t));
                        Outcome::Failed { what, words }
                    }
                },
            })
            .collect();
        let verdicts: Vec<_> = judged.iter().map(verdict).collect();
        let authors = self.site.authors_of(contents.iter().chain([pull]))?;
        let needs_owner = |judged: &Judged<'_>| matches!(judged, Judged::Planned(p) if p.has(Severity::NeedsOwner));
        let needs_approval = self.site.settings.needs_approval || judged.iter().any(needs_owner) || judged.is_empty();
        let unapprovable = authors.as_ref().err().filter(|unknown| unknown.is_final && needs_approval);
        let unapprovable = unapprovable.map(|unknown| format!("nobody's approval counts: {}", unknown.why));
        let shown = self.is_shown(pull, &subjects, &verdicts)?;
        let (url, comment) = match shown {
            _ if planned.is_empty() => (pull.html_url.clone(), 0),
            Some(shown) if unapprovable.is_none() => shown,
            _ => self.show(pull, &planned, unapprovable.as_deref())?,
        };
        for (subject, (state, text, digest)) in subjects.iter().zip(&verdicts) {
            let target = with_record(pull, "changes", digest, comment);
            site.say_once(head, &format!("{PLAN}: {}", subject.module), state, text, &target)?;
        }
        let (state, text) = match unapprovable {
            Some(why) => ("failure", why),
            None => self.sum_up(pull, &changed, &judged, &misnamed, &authors)?,
        };
        site.say_once(head, PLAN, state, &text, &url)?;
        Ok(text)
    }

    /// The pull request that brought a root module to the branch, where `changed` only approves it again: an apply looks
    /// at what that one changed, and at who wrote it.
    fn brought(&self, module: &RootModule, changed: &BTreeSet<String>) -> Result<Option<Merged>> {
        if changed.iter().any(|path| path.starts_with(&format!("{module}/"))) {
            return Ok(None);
        }
        let mut merged = self.site.merged_pulls(&BTreeSet::from([module]))?.remove(module).unwrap_or_default();
        Ok(merged.pop().filter(|last| last.brings_it))
    }

    /// The root modules that a pull request changes, removes, or approves again; and changed folders
    /// that would be one, but for their names.
    fn modules_of(
        &self,
        head: &str,
        base: &str,
        changed: &BTreeSet<String>,
    ) -> Result<(BTreeSet<RootModule>, Vec<String>)> {
        let (new, mut misnamed) = self.site.modules_at(head)?;
        let (old, _) = self.site.modules_at(base)?;
        let all: BTreeMap<&str, &RootModule> = new.keys().chain(old.keys()).map(|m| (m.as_str(), m)).collect();
        let mut modules = BTreeSet::new();
        for path in changed {
            let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(module) = folders.rev().find_map(|folder| all.get(folder)) {
                modules.insert((*module).clone());
            } else {
                modules.extend(approved_module(path));
            }
        }
        misnamed.retain(|folder| changed.iter().any(|path| path.starts_with(&format!("{folder}/"))));
        Ok((modules, misnamed))
    }

    /// Whether the comment shows exactly this already, and where. It is not written again then, because
    /// that would end what was approved, and the order of what providers read is not always the same.
    fn is_shown(
        &self,
        pull: &PullRequest,
        subjects: &[Subject],
        verdicts: &[(&'static str, String, String)],
    ) -> Result<Option<(String, u64)>> {
        let Some(comment) = self.site.comment(pull.number, comment::PLAN_MARKER)? else { return Ok(None) };
        if self.site.recorded_since(pull, &comment)?.is_none() || !self.site.has_its_file(pull, &comment)? {
            return Ok(None);
        }
        for (subject, (state, text, digest)) in subjects.iter().zip(verdicts) {
            let context = format!("{PLAN}: {}", subject.module);
            let target = with_record(pull, "changes", digest, comment.id);
            if self.site.said_in(pull, &context)?.first().is_none_or(|last| !last.says(state, text, &target)) {
                return Ok(None);
            }
        }
        Ok(Some((comment_record(pull, &comment), comment.id)))
    }

    /// Writes the comment, with a file where it cannot hold everything, and gives the address that records it, and its
    /// id.
    ///
    /// # Errors
    /// A server that fails, or that does not keep all of it: then nothing is shown that could be approved.
    fn show(
        &self,
        pull: &PullRequest,
        planned: &[comment::Planned<'_>],
        unapprovable: Option<&str>,
    ) -> Result<(String, u64)> {
        let site = &self.site;
        let old = site.comment(pull.number, comment::PLAN_MARKER)?;
        let mut page = Page { commit: &pull.head.sha, modules: planned, whole: None, unapprovable };
        let whole = match comment::is_cut(&page) {
            true => Some(self.attach(pull, old.as_ref(), comment::whole(&page))?),
            false => None,
        };
        page.whole = whole.as_deref();
        let body = comment::render(&page);
        let written = match old {
            Some(old) if old.body == body => old,
            old => site.write_comment(pull.number, old.as_ref(), &body)?,
        };
        ensure!(written.body == body, "Gitea has written another comment into #{} than it was sent", pull.number);
        Ok((comment_record(pull, &written), written.id))
    }

    /// Attaches the whole text, where the `old` comment does not lead to it already, and gives its address.
    fn attach(&self, pull: &PullRequest, old: Option<&Comment>, text: String) -> Result<String> {
        let site = &self.site;
        let name = format!("plan-{}.txt", &sha256(text.as_bytes())[..16]);
        // A link in a comment that somebody has edited may lead anywhere.
        if let Some(old) = old
            && let Some(link) = comment::link(&old.body).filter(|link| link.ends_with(&format!("?{name}")))
            && site.is_recorded(pull, old)?
            && site.has_its_file(pull, old)?
        {
            return Ok(link.to_owned());
        }
        let size = text.len();
        let link = site.attach(pull.number, &name, text).with_context(|| {
            format!(
                "the plan is too long for a comment, and cannot be attached to #{} as a file of {size} bytes: \
                 `[attachment]` of Gitea's app.ini must allow it",
                pull.number
            )
        })?;
        let link = format!("{link}?{name}");
        ensure!(
            comment::is_link(&link),
            "the plan is too long for a comment, and `{link}` is no address to link: set Gitea's ROOT_URL"
        );
        Ok(link)
    }

    /// The state of the whole pull request, and why.
    fn sum_up(
        &self,
        pull: &PullRequest,
        changed: &BTreeSet<String>,
        judged: &[Judged<'_>],
        misnamed: &[String],
        authors: &Authors,
    ) -> Result<(&'static str, String)> {
        if let [folder, ..] = misnamed {
            let fault = RootModule::parse(folder).err().map(|refusal| refusal.at("", None).sentence());
            return Ok(("failure", fault.with_context(|| format!("`{folder}` has no tree"))?));
        }
        let bad = judged.iter().filter(|judged| verdict(judged).0 != "success").count();
        if bad > 0 {
            return Ok(("failure", format!("{bad} of {} root modules cannot be applied", judged.len())));
        }
        let planned: Vec<&Planned<'_>> = judged
            .iter()
            .filter_map(|judged| if let Judged::Planned(p) = judged { Some(&**p) } else { None })
            .collect();
        let needs: BTreeSet<_> =
            planned.iter().map(|p| p.rules(Severity::NeedsOwner)).filter(|r| !r.is_empty()).collect();
        let outside = judged.is_empty() && !changed.is_empty();
        if !needs.is_empty() || outside {
            let approvals = match authors {
                Ok(authors) => self.site.approvals(pull, authors)?,
                Err(_) => Vec::new(),
            };
            let mut counts = false;
            for approval in approvals.iter().filter(|approval| self.site.is_owner(&approval.by)) {
                counts |= self.site.may_still_approve(&approval.by)?;
            }
            if !counts {
                let rules = if outside {
                    "outside-folder".to_owned()
                } else {
                    needs.into_iter().collect::<Vec<_>>().join(", ")
                };
                return Ok(("pending", format!("a platform owner must approve this: {rules}")));
            }
        }
        let text = match planned.as_slice() {
            [] => "no root module is changed".to_owned(),
            [one] => one.plan.changes.summary(),
            all => format!("{} root modules", all.len()),
        };
        Ok(("success", text))
    }
}

/// What a status says while a run is at it.
const BEING_PLANNED: &str = "being planned";

/// What a status says of one root module: its state, in words, and the digest of the changes.
fn verdict(judged: &Judged<'_>) -> (&'static str, String, String) {
    match judged {
        Judged::Planned(planned) if planned.has(Severity::Denied) => {
            ("failure", format!("denied by policy: {}", planned.rules(Severity::Denied)), String::new())
        }
        Judged::Planned(planned) => {
            let owner = planned.rules(Severity::NeedsOwner);
            let owner = if owner.is_empty() { owner } else { format!(", needs a platform owner: {owner}") };
            ("success", format!("{}{owner}", planned.plan.changes.summary()), planned.digest.clone())
        }
        Judged::Refused(findings) => {
            ("failure", format!("denied by policy: {}", rules(findings, Severity::Denied)), String::new())
        }
        Judged::Failed(failed) => {
            let (what, text) = words(failed);
            ("failure", format!("{what} failed: {}", text.lines().next().unwrap_or_default()), String::new())
        }
    }
}

fn failure(judged: &Judged<'_>) -> Option<(String, String)> {
    match judged {
        Judged::Failed(failed) => {
            let (what, words) = words(failed);
            Some((what.to_owned(), words))
        }
        _ => None,
    }
}
