//! `goldpath terraform drift`: keeps one issue open for each root module whose objects somebody has
//! changed behind Terraform's back, and says so in a status where the apply's is.

use super::comment;
use super::judge::{Review, Subject, side_by_side};
use super::rights::{self, Difference};
use super::site::{Issue, Record};
use super::terraform::Mode;
use anyhow::{Result, bail};
use goldpath::names::RootModule;
use std::collections::BTreeSet;

/// What the statuses begin with that drift sets, followed by `: ` and the root module.
const DRIFT: &str = "goldpath/drift";
/// So many bytes of a status name what differs: it is cut at 200 characters.
const NAMED: usize = 180;

/// What was found out of one root module.
#[derive(Default)]
struct Found {
    rights: Vec<Difference>,
    /// What an apply would put back, in short and in Terraform's words.
    plan: Option<(String, String)>,
}

impl Review<'_> {
    /// Looks at every root module that is applied as it is on the branch; gives a line for each that
    /// drifts, and whether all could be looked at.
    ///
    /// # Errors
    /// A server that fails.
    pub fn drift(&self) -> Result<(Vec<String>, bool)> {
        let head = self.site.head()?;
        let (there, _) = self.site.modules_at(&head)?;
        let applied = self.site.records()?.0;
        let mut subjects = Vec::new();
        for (module, tree) in &there {
            if let Some(record) = applied.get(module).filter(|record| record.tree == *tree) {
                subjects.push((self.subject(module, &head, &[], &BTreeSet::new())?, record));
            }
        }
        let found = side_by_side(self.site.settings.parallel, &subjects, |(subject, _)| self.look_for_drift(subject));
        let open = self.site.open_issues()?;
        let (mut lines, mut well) = (Vec::new(), true);
        for ((subject, record), found) in subjects.iter().zip(found) {
            let module = &subject.module;
            let told = match found {
                Ok(found) => self.tell_drift(&open, module, record, &found),
                Err(error) => Err(error.context("cannot be looked at")),
            };
            match told {
                Ok(line) => lines.extend(line),
                Err(error) => {
                    lines.push(format!("{module}: {error:#}"));
                    well = false;
                }
            }
        }
        // Of what is not on the branch any more, nothing drifts.
        let gone = open.iter().filter_map(module_of).filter(|module| !there.contains_key(module));
        for module in gone {
            self.site.keep_issue(&open, &marker(&module), "", None)?;
        }
        if lines.is_empty() {
            lines.push(format!("{} root modules, none drifts", subjects.len()));
        }
        Ok((lines, well))
    }

    fn look_for_drift(&self, subject: &Subject) -> Result<Found> {
        if !self.faults(subject).is_empty() {
            bail!("policy denies it now");
        }
        let workspace = self.terraform.open(&subject.module, &subject.files)?;
        let next = workspace.plan(Mode::Normal, false)?;
        let mut found = Found { rights: rights::compare(&self.site, &next.json)?, plan: None };
        // A change of the code or of a provider is no drift: something must have been changed by hand, too.
        if !next.changes.is_empty() {
            let by_hand = workspace.plan(Mode::RefreshOnly, false)?.changes;
            if !by_hand.drift.is_empty() || !by_hand.outputs.is_empty() {
                found.plan = Some((next.changes.summary(), workspace.show(&next, comment::WHOLE_LIMIT)?));
            }
        }
        Ok(found)
    }

    /// Keeps issue and status of one root module; gives a line where it drifts. The status comes last and goes first:
    /// whatever a run that is killed leaves, the next one finds the issue.
    fn tell_drift(
        &self,
        open: &[Issue],
        module: &RootModule,
        record: &Record,
        found: &Found,
    ) -> Result<Option<String>> {
        let (context, commit) = (format!("{DRIFT}: {module}"), self.commit_of_apply(module, record)?);
        let marker = marker(module);
        let keep = |body| self.site.keep_issue(open, &marker, &format!("Drift: {module}"), body);
        if found.is_empty() {
            if let Some(commit) = &commit
                && let Some(last) = self.site.said(commit, &context)?.first()
                && last.status != "success"
            {
                self.site.say(commit, &context, "success", "nothing differs any more", &last.target_url)?;
            }
            keep(None)?;
            return Ok(None);
        }
        let plan = found.plan.as_ref().map(|(_, text)| text.as_str());
        let body = comment::render_drift(&marker, module, &found.rights, plan);
        let url = keep(Some(body.as_str()))?.unwrap_or_default();
        if let Some(commit) = &commit {
            self.site.say_once(commit, &context, "failure", &found.in_short(), &url)?;
        }
        Ok(Some(format!("{module}: drifts ({url})")))
    }

    /// The commit of which is said what became of the apply.
    fn commit_of_apply(&self, module: &RootModule, record: &Record) -> Result<Option<String>> {
        let merged = record.pull_request.map(|number| self.site.pull(number)).transpose()?;
        match merged.and_then(|pull| pull.merge_commit_sha) {
            Some(commit) => Ok(Some(commit)),
            None => Ok(self.site.last_commit(module)?),
        }
    }
}

impl Found {
    fn is_empty(&self) -> bool {
        self.rights.is_empty() && self.plan.is_none()
    }

    /// As many of the differences as a status has room for.
    fn in_short(&self) -> String {
        let mut all: Vec<_> = self.rights.iter().map(|difference| difference.what.clone()).collect();
        all.extend(self.plan.iter().map(|(summary, _)| format!("an apply would put back {summary}")));
        let mut text = String::new();
        for (n, what) in all.iter().enumerate() {
            if n > 0 && text.len() + what.len() > NAMED {
                return format!("{text}; and {} more", all.len() - n);
            }
            text = if n == 0 { what.clone() } else { format!("{text}; {what}") };
        }
        text
    }
}

fn marker(module: &RootModule) -> String {
    format!("<!-- goldpath: drift {module} -->")
}

/// The root module that an issue is about.
fn module_of(issue: &Issue) -> Option<RootModule> {
    let (name, _) = issue.body.strip_prefix("<!-- goldpath: drift ")?.split_once(" -->")?;
    RootModule::parse(name).ok()
}
