//! What requests refer to, on a laptop: what is given with them, what is given to be looked at, and what the workspace holds.

use super::Files;
use super::requests::{self, Source};
use crate::document::{self, Node};
use crate::known::{self, Answer, Known, Need};
use crate::promise::{need_of, parent_of};
use crate::standing::folders_of_requests;
use crate::violation::nearest;
use anyhow::{Result, ensure};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Requests, by what others name them by, each with its parent.
type Requests = BTreeMap<Need, Option<Need>>;

/// All that is known here; elsewhere may be more.
pub(super) struct Neighbours<'a> {
    given: Requests,
    workspace: &'a Path,
    /// Read when something is missing that is not given.
    kept: OnceCell<Requests>,
}

impl<'a> Neighbours<'a> {
    /// Those of a call, and of a workspace.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(sources: &[Source], files: &Files, workspace: &'a Path) -> Result<Self> {
        let Files { recursive, with, .. } = files;
        let files = Files { named: with.clone(), files: Vec::new(), recursive: *recursive, with: Vec::new() };
        let looked_at = requests::read(&files, None)?.sources;
        for source in &looked_at {
            let why = source.documents.as_ref().err().map(|fault| fault.message.as_str()).unwrap_or_default();
            ensure!(source.documents.is_ok(), "cannot look at {}: {why}", source.name);
        }
        let all = looked_at.iter().chain(sources).flat_map(Source::items);
        let given = all.filter_map(|item| of_document(item.document)).collect();
        Ok(Self { given, workspace, kept: OnceCell::new() })
    }

    /// What the workspace holds; what is damaged there is told by those who are about it.
    fn kept(&self) -> &Requests {
        let object = |folder: &Path| -> Option<Node> {
            document::parse(&fs::read(folder.join("input/object.yaml")).ok()?).ok()?.pop()
        };
        self.kept.get_or_init(|| {
            let folders = folders_of_requests(&self.workspace.join("requests")).unwrap_or_default();
            folders.iter().filter_map(|(folder, _)| of_document(&object(folder)?)).collect()
        })
    }
}

impl known::Source for Neighbours<'_> {
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known> {
        let answer = |need: &Need| {
            if self.given.contains_key(need) || self.kept().contains_key(need) {
                return Answer::Found;
            }
            let Need::Request { kind, id } = need;
            let all = self.given.keys().chain(self.kept().keys());
            let ids = all.filter(|Need::Request { kind: other, .. }| other == kind).map(Need::id);
            Answer::NotSeen { nearest: nearest(id, ids).map(str::to_owned) }
        };
        Ok(Known(needs.iter().map(|need| (need.clone(), answer(need))).collect()))
    }

    fn parent(&self, need: &Need) -> Option<Need> {
        self.given.get(need).or_else(|| self.kept().get(need))?.clone()
    }
}

fn of_document(document: &Node) -> Option<(Need, Option<Need>)> {
    Some((need_of(document)?, parent_of(document)))
}
