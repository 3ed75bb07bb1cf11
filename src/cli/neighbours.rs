//! What requests refer to, on a laptop: what is given with them, what is given to be looked at, and what the workspace holds.

use super::Files;
use super::requests::{self, Source};
use crate::document::{self, Node};
use crate::known::{self, Answer, Known, Need, Others};
use crate::promise::{need_of, parent_of, uses};
use crate::standing::folders_of_requests;
use anyhow::{Result, bail};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// All that is known here; elsewhere may be more.
pub(super) struct Neighbours<'a> {
    given: Requests<'a>,
    workspace: &'a Path,
    /// Read when something is missing that is not given.
    kept: OnceCell<Requests<'a>>,
}

/// Requests, by what others name them by.
type Requests<'a> = BTreeMap<Need, Vec<Document<'a>>>;

/// A request that is given, or one that was read to be looked at.
enum Document<'a> {
    Given(&'a Node),
    Read(Arc<Node>),
}

impl Document<'_> {
    fn node(&self) -> &Node {
        match self {
            Self::Given(node) => node,
            Self::Read(node) => node,
        }
    }

    fn shared(&self) -> Arc<Node> {
        match self {
            Self::Given(node) => Arc::new((*node).clone()),
            Self::Read(node) => Arc::clone(node),
        }
    }
}

impl<'a> Neighbours<'a> {
    /// Those of a call, and of a workspace.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(sources: &'a [Source], files: &Files, workspace: &'a Path) -> Result<Self> {
        let Files { recursive, with, .. } = files;
        let files = Files { named: with.clone(), files: Vec::new(), recursive: *recursive, with: Vec::new() };
        let mut looked_at = Vec::new();
        for source in requests::read(&files, None)?.sources {
            match source.documents {
                Ok(documents) => looked_at.extend(documents.into_iter().map(Arc::new).map(Document::Read)),
                Err(fault) => bail!("cannot look at {}: {}", source.name, fault.message),
            }
        }
        let given = sources.iter().flat_map(Source::items).map(|item| Document::Given(item.document));
        Ok(Self { given: by_need(given.chain(looked_at)), workspace, kept: OnceCell::new() })
    }

    /// What the workspace holds; what is damaged there is told by those who are about it.
    fn kept(&self) -> &Requests<'a> {
        let object = |folder: &Path| -> Option<Node> {
            let object = document::parse(&fs::read(folder.join("input/object.yaml")).ok()?).ok()?.pop()?;
            Some(with_status(object, folder))
        };
        self.kept.get_or_init(|| {
            let folders = folders_of_requests(&self.workspace.join("requests")).unwrap_or_default();
            by_need(folders.iter().filter_map(|(folder, _)| Some(Document::Read(Arc::new(object(folder)?)))))
        })
    }

    fn find(&self, need: &Need) -> Option<&Vec<Document<'a>>> {
        self.given.get(need).or_else(|| self.kept().get(need))
    }
}

impl known::Source for Neighbours<'_> {
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known> {
        let answer = |need: &Need| {
            if let Need::Users { .. } = need {
                let users = self.kept().values().flatten().filter(|document| uses(document.node(), need));
                return Answer::Found(users.map(Document::shared).collect());
            }
            if let Some(found) = self.find(need) {
                return Answer::Found(found.iter().map(Document::shared).collect());
            }
            let all: BTreeSet<_> = self.given.keys().chain(self.kept().keys()).collect();
            let ids = all.iter().filter(|other| other.kind() == need.kind()).map(|need| need.id());
            Answer::NotSeen(Others::of(need.id(), ids))
        };
        Ok(Known(needs.iter().map(|need| (need.clone(), answer(need))).collect()))
    }

    fn parent(&self, need: &Need) -> Option<Need> {
        parent_of(self.find(need)?.first()?.node())
    }
}

/// Documents, in their order, by what others name them by.
fn by_need<'a>(documents: impl Iterator<Item = Document<'a>>) -> Requests<'a> {
    let mut requests = Requests::new();
    for document in documents {
        if let Some(need) = need_of(document.node()) {
            requests.entry(need).or_default().push(document);
        }
    }
    requests
}

/// A request with what its last run said, which its folder in a workspace keeps.
pub(super) fn with_status(object: Node, folder: &Path) -> Node {
    let status = || document::parse(&fs::read(folder.join("metadata/status.yaml")).ok()?).ok()?.pop();
    match status() {
        Some(status) => object.with("status", status),
        None => object,
    }
}
