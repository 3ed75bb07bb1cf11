//! The steps on requests, in the folders that Kratix would mount.

use super::super::neighbours::with_status;
use super::super::prune;
use super::super::requests::Source;
use super::told::{Progress, Told, show_diff};
use crate::commit::{self, Committed, Task};
use crate::config::{Config, Remote};
use crate::diff::{self, FileDiff};
use crate::document::{Node, to_json};
use crate::file_tree::FileTree;
use crate::known;
use crate::kratix::Folders;
use crate::outcome::{Action, Change, ChangeKind, Delivery, Extent, Outcome, Undelivered};
use crate::outputs::{Claims, Outputs, Role, Unrendered};
use crate::promise::{self, id_field};
use crate::render::{self, Rendered};
use crate::repository::Batch;
use crate::request::Identity;
use crate::set::Verdict;
use crate::status::{Condition, Phase, Status};
use crate::text::is_deceptive;
use crate::track::{self, Tracked};
use crate::violation::Violation;
use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// As many requests as one commit brings.
const TOGETHER: usize = 1000;

/// What became of one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub request: Identity,
    pub outcome: &'static str,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far it has come in Gitea, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub manifests: Manifests,
    pub output_folder: PathBuf,
    pub repositories: BTreeMap<Role, Outcome>,
    /// What is wrong with the request, so that it was refused.
    #[serde(skip)]
    pub refusal: Option<Violation>,
}

/// What became of the manifests of a request.
#[derive(Default, Serialize)]
pub(super) struct Manifests {
    pub files: usize,
    pub changes: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<FileDiff>,
}

/// What there is to do, and where.
pub(super) struct Job<'a> {
    pub workspace: &'a Path,
    pub config: &'a Config,
    /// Who knows what the requests refer to.
    pub source: &'a dyn known::Source,
    pub task: Task,
    pub now: Timestamp,
    /// Where all repositories are on this machine: what is delivered to them together.
    pub batch: Option<Batch>,
}

/// A request whose steps have begun.
struct Begun {
    report: Report,
    folders: Folders,
    /// Its manifests before.
    before: FileTree,
    delivery: Delivery,
    /// What it changes, where it is delivered with others.
    staged: Option<Result<BTreeMap<Role, Outcome>, Undelivered>>,
    is_done: bool,
}

impl Job<'_> {
    /// Runs the steps on every document, a thousand at a time together.
    pub fn run(
        &mut self,
        sources: &[Source],
        verdicts: Vec<Verdict>,
        told: &mut Told,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let documents: Vec<(&Source, Option<&Node>)> = sources
            .iter()
            .flat_map(|source| match &source.documents {
                Ok(documents) => documents.iter().map(|document| (source, Some(document))).collect(),
                Err(_) => vec![(source, None)],
            })
            .collect();
        let mut verdicts = verdicts.into_iter();
        let verdict_of = |(source, document): (_, Option<_>)| {
            (source, document, document.and_then(|_| verdicts.next()).unwrap_or_default())
        };
        let mut documents: Vec<_> = documents.into_iter().map(verdict_of).collect();
        if self.task.action == Action::Delete {
            // What others are of goes after them.
            documents.sort_by_key(|(_, document, _)| Reverse(document.and_then(promise::rank)));
        }
        let mut documents = documents.into_iter().peekable();
        while documents.peek().is_some() {
            let together: Vec<_> = documents.by_ref().take(TOGETHER).collect();
            let mut waiting = Vec::new();
            for (source, document, verdict) in together {
                let Some(document) = document else {
                    waiting.push((source, None, Vec::new(), Ok(Err(Vec::new()))));
                    continue;
                };
                // What is wrong by itself the steps find too, and say so in its status.
                let Verdict { faults: _, conflicts, warnings } = verdict;
                let begun = if conflicts.is_empty() { self.begin(document) } else { Ok(Err(conflicts)) };
                waiting.push((source, Some(document), warnings, begun));
            }
            let index = self.index_diff()?;
            told.ended.changed |= !index.is_empty();
            told.index |= !index.is_empty();
            let committed = self.commit(waiting.iter().find_map(|(.., begun)| begun.as_ref().ok()?.as_ref().ok()));
            for (source, document, warnings, begun) in waiting {
                let result = match begun {
                    Ok(Ok(begun)) => self.end(begun, &committed, &source.name).map(Ok),
                    Ok(Err(faults)) => Ok(Err(faults)),
                    Err(error) => Err(error),
                };
                told.tell(source, document, &warnings, result, progress)?;
            }
            if self.task.with_diff {
                progress.print_text(&show_diff(&index, progress.shown))?;
            }
        }
        Ok(())
    }

    /// Begins the steps on one request, or gives its faults, with their places in its file.
    fn begin(&mut self, document: &Node) -> Result<Result<Begun, Vec<Violation>>> {
        // A deletion asks for no more than who it is.
        let request = match crate::promise::read(document) {
            Ok(request) => request,
            Err(faults) => return Ok(Err(faults_of(document, self.config, self.source).unwrap_or(faults))),
        };
        let folders = Folders::below(&self.workspace.join("requests").join(request.identity.path()));
        let report = Report {
            request: request.identity.clone(),
            outcome: "unchanged",
            reason: None,
            phase: None,
            message: None,
            manifests: Manifests::default(),
            output_folder: folders.output.clone(),
            repositories: BTreeMap::new(),
            refusal: None,
        };
        ensure!(
            !folders.output.is_symlink(),
            "{} is a link, and no folder of ours: remove it",
            folders.output.display()
        );
        // One that is damaged is written anew.
        let status = if folders.has_status() { folders.read_status().ok() } else { None };
        if status.is_none() && self.task.extent == Extent::Whole {
            folders.clear_verdict()?;
        }
        let is_dry = self.task.extent == Extent::DryRun;
        // What its status says counts for some.
        let remembering = (promise::find(request.identity.kind.as_str()).is_ok_and(|promise| promise.remembers))
            .then(|| with_status(document.clone(), &self.workspace.join("requests").join(request.identity.path())));
        let rendered = remembering.as_ref().unwrap_or(document);
        let mut outputs = match (self.task.action, crate::generate_with(rendered, self.config, self.source)) {
            (Action::Delete, _) => Outputs::nothing(),
            (_, Ok((_, outputs))) => outputs,
            (_, Err(Unrendered::Broken(error))) => return Err(error),
            (_, Err(Unrendered::Unknown(error))) => return Err(error),
            (_, Err(Unrendered::Wrong(faults))) => {
                if !is_dry {
                    folders.write_object(as_object(document, status.as_ref())?.as_bytes())?;
                    render::run(&folders, Ok(self.config), self.source, self.now)?;
                }
                return Ok(Err(faults));
            }
        };
        let manifests = std::mem::take(&mut outputs.manifests);
        let said = status.clone().unwrap_or_default();
        let is_said = outputs.status.iter().all(|(key, value)| said.extra.get(key) == Some(value));
        let delivery = commit::delivery(self.config, &request, outputs, &said, self.task, self.now);
        let before = FileTree::read(&folders.output)?;
        let mut begun = Begun { report, folders, before, delivery, staged: None, is_done: is_dry };
        begun.report.manifests = self.compare(&begun.before, &manifests)?;
        begun.staged = self.batch.as_mut().map(|batch| batch.stage(&begun.delivery));
        if is_dry {
            let found = match begun.staged.take() {
                Some(found) => found,
                None => commit::preview(self.config, begun.delivery.clone())?,
            };
            begun.report.take(found, &begun.delivery.claims);
            return Ok(Ok(begun));
        }
        if let Some(Ok(outcomes)) = &begun.staged {
            begun.report.repositories.clone_from(outcomes);
            let stays = !begun.report.is_changed() && self.task.action == Action::Configure && is_said;
            if stays && is_delivered(&begun.folders, &said) {
                begun.is_done = true;
                return Ok(Ok(begun));
            }
        }
        // As Kratix does: what the last run said is a part of the object.
        begun.folders.write_object(as_object(document, status.as_ref())?.as_bytes())?;
        // Of a request that is refused Kratix delivers no manifests: those of before stay.
        let is_refused =
            begun.staged.as_ref().is_some_and(|staged| staged.as_ref().is_err_and(Undelivered::is_refusal));
        if self.task.action == Action::Configure && !is_refused {
            match render::run(&begun.folders, Ok(self.config), self.source, self.now)? {
                Rendered::Done(_) => {}
                Rendered::Later(why) => bail!("{why}"),
                Rendered::Wrong(_) => bail!("{} is wrong only as a copy: our bug", begun.report.request),
            }
        }
        Ok(Ok(begun))
    }

    /// How the catalog's index changes by what was begun together.
    fn index_diff(&mut self) -> Result<Vec<FileDiff>> {
        match &mut self.batch {
            Some(batch) => batch.index_diff(),
            None => Ok(Vec::new()),
        }
    }

    /// Commits what was begun together, of which `one` is one.
    fn commit(&mut self, one: Option<&Begun>) -> Result<BTreeMap<Role, Option<String>>, String> {
        match (&mut self.batch, one, self.task.extent) {
            (Some(batch), Some(one), Extent::Whole) => {
                batch.commit(&one.delivery).map_err(|error| format!("{error:#}"))
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Ends the steps on one request.
    fn end(
        &self,
        begun: Begun,
        committed: &Result<BTreeMap<Role, Option<String>>, String>,
        source: &str,
    ) -> Result<Report> {
        let Begun { mut report, folders, before, staged, is_done, delivery } = begun;
        let is_deletion = self.task.action == Action::Delete;
        let folder = folders.input.parent().context("it has no folder")?;
        if !is_deletion && self.task.extent == Extent::Whole {
            prune::remember(folder, source)?;
        }
        if is_done {
            if self.task.extent == Extent::DryRun && report.outcome == "unchanged" && report.is_changed() {
                report.outcome = if is_deletion { "would be deleted" } else { "would change" };
            }
            return Ok(report);
        }
        let config = Ok(self.config);
        let id = id_field(&report.request);
        let refusal = staged.as_ref().and_then(|staged| staged.as_ref().err()?.refusal(id, &delivery.claims));
        let result = match staged {
            _ if let Some(refusal) = refusal => {
                commit::refuse_unrendered(&folders, &refusal, self.now)?;
                Committed::Refused(refusal)
            }
            None => commit::run(&folders, config, self.task, self.now)?,
            Some(staged) => {
                let delivered = match (staged, committed) {
                    (Ok(mut outcomes), Ok(commits)) => {
                        for (role, outcome) in &mut outcomes {
                            outcome.commit = commits.get(role).cloned().flatten().or(outcome.commit.take());
                        }
                        Ok(outcomes)
                    }
                    (Ok(_), Err(why)) => Err(anyhow::anyhow!("{why}").into()),
                    (Err(error), _) => Err(error),
                };
                commit::record(&folders, self.config, self.task, self.now, delivered)?
            }
        };
        match result {
            Committed::Done(outcomes) => {
                report.repositories = outcomes;
                let mut outcomes = report.repositories.values();
                let is_written = outcomes.clone().any(|outcome| !outcome.changes.is_empty());
                let is_proposed = outcomes.any(|outcome| outcome.pull_request.is_some());
                report.outcome = match is_deletion {
                    _ if !report.is_changed() => "unchanged",
                    _ if is_written && is_proposed => "proposed",
                    true => "deleted",
                    false if is_written => "committed",
                    false => "rendered",
                };
                let mut ended = true;
                let is_followed = self.config.repositories.values().any(|remote| matches!(remote, Remote::Gitea(_)));
                let tracked =
                    is_followed.then(|| track::run(&folders, config, self.task.action, self.now)).transpose()?;
                if let Some(Tracked::Seen(phase, message, end)) = tracked {
                    (report.phase, report.message, ended) = (Some(phase), Some(message), end);
                }
                if is_deletion && ended {
                    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
                }
            }
            Committed::Refused(refusal) => {
                if before != FileTree::read(&folders.output)? {
                    before.replace(&folders.output)?;
                }
                report.manifests = Manifests::default();
                report.repositories.clear();
                report.refuse(refusal);
            }
            Committed::Later(why) => report.fail(why),
            Committed::Stopped => report.fail("the step was stopped".to_owned()),
        }
        Ok(report)
    }

    fn compare(&self, before: &FileTree, after: &FileTree) -> Result<Manifests> {
        let kind = |path| match (before.get(path), after.get(path)) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        let changes = before.differing(after).map(|path| Change { path: path.clone(), kind: kind(path) });
        let diff = if self.task.with_diff { diff::trees("manifests", before, after)? } else { Vec::new() };
        Ok(Manifests { files: after.len(), changes: changes.collect(), diff })
    }
}

/// Whether the last run has ended well, so that nothing is left to say of the same.
fn is_delivered(folders: &Folders, status: &Status) -> bool {
    let says = |condition: &Condition| condition.r#type == "Delivered" && condition.status == "True";
    !folders.is_stopped() && status.conditions.iter().any(says)
}

impl Report {
    /// Takes what a dry run has found.
    fn take(&mut self, found: Result<BTreeMap<Role, Outcome>, Undelivered>, claims: &Claims) {
        match found {
            Ok(outcomes) => self.repositories = outcomes,
            Err(error) => match error.refusal(id_field(&self.request), claims) {
                Some(refusal) => {
                    self.manifests = Manifests::default();
                    self.refuse(refusal);
                }
                None => self.fail(format!("{:#}", anyhow::Error::from(error))),
            },
        }
    }

    pub fn is_changed(&self) -> bool {
        let is_written = |outcome: &Outcome| !outcome.changes.is_empty();
        !self.manifests.changes.is_empty() || self.repositories.values().any(is_written)
    }

    /// What was written of it all the same, the next run finds.
    fn fail(&mut self, why: String) {
        (self.outcome, self.reason) = ("failed", Some(why));
        self.manifests = Manifests::default();
        self.repositories.clear();
    }

    fn refuse(&mut self, refusal: Violation) {
        (self.outcome, self.reason) = ("refused", Some(refusal.message.clone()));
        self.refusal = Some(refusal);
    }

    pub fn diffs(&self) -> impl Iterator<Item = &FileDiff> {
        self.manifests.diff.iter().chain(self.repositories.values().flat_map(|outcome| &outcome.diff))
    }
}

/// Every fault of a request.
fn faults_of(document: &Node, config: &Config, source: &dyn known::Source) -> Option<Vec<Violation>> {
    match crate::generate_with(document, config, source) {
        Err(Unrendered::Wrong(violations)) => Some(violations),
        _ => None,
    }
}

/// A document as Kratix would write it: YAML, in the form of JSON so that no text changes its type on the way; what YAML does
/// not take as it is (controls, line separators) is escaped.
fn as_object(document: &Node, status: Option<&Status>) -> Result<String> {
    let mut object = to_json(document);
    if let (Some(status), Some(object)) = (status, object.as_object_mut()) {
        object.insert("status".to_owned(), serde_json::to_value(status)?);
    }
    let json = serde_json::to_string_pretty(&object)?;
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match u32::from(c) {
            _ if c == '\n' || !is_deceptive(c) => text.push(c),
            code @ ..=0xffff => write!(text, "\\u{code:04x}")?,
            code => write!(text, "\\U{code:08x}")?,
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::document::parse;

    #[test]
    fn what_a_step_reads_is_what_was_given() {
        for text in ["\u{85}\u{2028}\u{200b}", "🏴\u{e0067}\u{e007f}", "a\\/\"\n\u{1}", "x?:y"] {
            let given = &parse(format!("a: {}", serde_json::Value::from(text)).as_bytes()).unwrap()[0];
            let read = &parse(as_object(given, None).unwrap().as_bytes()).unwrap()[0];
            assert_eq!((given.get("a").unwrap().as_str(), read.get("a").unwrap().as_str()), (Some(text), Some(text)));
        }
    }
}
