//! `goldpath terraform drift`: keeps one issue open for each root module whose objects somebody has
//! changed behind Terraform's back.

use super::judge::{Review, Subject, side_by_side};
use super::terraform::{Failed, Mode};
use super::{RootModule, comment};
use anyhow::Result;
use std::collections::BTreeSet;

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
            if applied.get(module).is_some_and(|record| record.tree == *tree) {
                subjects.push(self.subject(module, &head, &[], &BTreeSet::new())?);
            }
        }
        let found = side_by_side(self.site.settings.parallel, &subjects, |subject| self.look_for_drift(subject));
        let open = self.site.open_issues()?;
        let (mut lines, mut well) = (Vec::new(), true);
        for (subject, found) in subjects.iter().zip(found) {
            let module = &subject.module;
            let (body, line) = match found {
                Ok(None) => (None, None),
                Ok(Some(body)) => (Some(body), Some(format!("{module}: drifts"))),
                Err(error) => {
                    lines.push(format!("{module}: cannot be looked at: {error}"));
                    well = false;
                    continue;
                }
            };
            let url = self.site.keep_issue(&open, &marker(module), &format!("Drift: {module}"), body.as_deref())?;
            lines.extend(line.map(|line| format!("{line} ({})", url.unwrap_or_default())));
        }
        if lines.is_empty() {
            lines.push(format!("{} root modules, none drifts", subjects.len()));
        }
        Ok((lines, well))
    }

    /// What to say of a root module's drift; nothing where there is none.
    fn look_for_drift(&self, subject: &Subject) -> Result<Option<String>, String> {
        if !self.faults(subject).is_empty() {
            return Err("policy denies it now".to_owned());
        }
        self.drift_of(subject).map_err(|failed| failed.to_string())
    }

    fn drift_of(&self, subject: &Subject) -> Result<Option<String>, Failed> {
        let workspace = self.terraform.open(&subject.module, &subject.files)?;
        let found = workspace.plan(Mode::RefreshOnly, false)?;
        if found.changes.drift.is_empty() && found.changes.outputs.is_empty() {
            return Ok(None);
        }
        // A provider may read something otherwise than it was written; that matters only if the next apply
        // would put something back.
        let next = workspace.plan(Mode::Normal, false)?;
        if next.changes.is_empty() {
            return Ok(None);
        }
        let text = workspace.show(&next)?;
        Ok(Some(comment::render_drift(&marker(&subject.module), &subject.module, &text)))
    }
}

fn marker(module: &RootModule) -> String {
    format!("<!-- goldpath: drift {module} -->")
}
