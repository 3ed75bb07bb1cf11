//! The line of deliveries that wait for one branch.
//!
//! A writer that finds nobody waiting writes at once. Who loses a race, or finds others waiting,
//! leaves a ticket with what it has to write; the oldest ticket's owner writes what all of them
//! say, as one commit. A ticket is a draft release, because that is the one thing in a repository
//! that Gitea keeps in its database alone: making, listing and removing one takes some 10 ms each,
//! a commit thirty times that. Nobody but who may write the repository sees it.
//!
//! The line only saves work. What decides is the branch: a ticket that is lost, late or doubled
//! costs a try, never a file. A ticket of a killed writer counts for [`LIFETIME`], and is then
//! removed by whoever sees it. Tickets are signed with the token that all of them hold: who may
//! only write the repository cannot have something written in Goldpath's name.

use super::{Api, BASE64, Cause};
use crate::file_tree::{FileTree, RelativePath};
use crate::gitea::Failure;
use base64::Engine;
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a ticket counts, by Gitea's clock: as long as a slow commit takes.
const LIFETIME: Duration = Duration::from_secs(15);
/// After how long an owner that is still there renews its own.
const RENEWAL: Duration = Duration::from_secs(10);
/// The longest text of a ticket, in bytes: where Gitea keeps it in MySQL, a release takes 64 KiB.
/// A larger delivery takes its turn, and only itself.
const MAX_TEXT: usize = 60_000;
/// As many deliveries in one commit, at most.
const MAX_TOGETHER: usize = 50;

/// What the tags of tickets begin with.
const PREFIX: &str = "goldpath/queue/";

/// A writer's place in the line.
pub struct Queue {
    api: Arc<Api>,
    tag: String,
    payload: Payload,
    /// Our own ticket, and since when we have it.
    ticket: Option<(u64, Instant)>,
    /// Whether we have looked whether an earlier run of ours, which was killed, left one behind.
    closed: bool,
}

/// Whose turn it is.
pub enum Turn {
    /// Ours, with what others have to write.
    Ours(Vec<Ticket>),
    /// Ours after that of the first ticket, with so many others before us.
    After { first: u64, others: usize },
}

/// A delivery that waits.
pub struct Ticket {
    id: u64,
    /// For whom.
    pub cause: Cause,
    /// All files of the request.
    pub files: FileTree,
}

/// What a ticket says.
#[derive(Serialize, Deserialize)]
struct Payload {
    /// The branch, so that a ticket is good for that one only.
    branch: String,
    cause: Cause,
    /// In base64.
    files: BTreeMap<RelativePath, String>,
}

#[derive(Deserialize)]
struct Release {
    id: u64,
    tag_name: String,
    body: String,
    created_at: Timestamp,
}

impl Queue {
    /// A place for a delivery, which is not taken yet.
    pub fn new(api: Arc<Api>, cause: &Cause, files: &FileTree) -> Self {
        let branch = format!("{}/{}/{}", api.remote.owner, api.remote.name, api.remote.branch);
        let files = files.iter().map(|(path, content)| (path.clone(), BASE64.encode(content))).collect();
        let tag = format!("{PREFIX}{}", cause.request.path());
        Self { api, tag, payload: Payload { branch, cause: cause.clone(), files }, ticket: None, closed: false }
    }

    /// Says whose turn it is; takes a place where others wait. A repository without commits has
    /// no line.
    pub fn turn(&mut self, exists: bool) -> Result<Turn, Failure> {
        if self.closed || !exists {
            return Ok(Turn::Ours(Vec::new()));
        }
        let mut line = self.list()?;
        for stale in line.iter().filter(|release| self.is_stale(release)) {
            self.remove(stale.id)?;
        }
        line.retain(|release| !self.is_stale(release));
        // Of an earlier run of this request, which was killed: it may say something older.
        let own = self.ticket.map(|(id, _)| id);
        for left in line.iter().filter(|release| release.tag_name == self.tag && Some(release.id) != own) {
            self.remove(left.id)?;
        }
        line.retain(|release| release.tag_name != self.tag || Some(release.id) == own);
        line.sort_by_key(|release| release.id);
        let Some(own) = own else {
            if line.is_empty() {
                return Ok(Turn::Ours(Vec::new()));
            }
            self.join()?;
            return Ok(Turn::After { first: line[0].id, others: line.len() - 1 });
        };
        match line.iter().position(|release| release.id == own) {
            Some(0) => {}
            Some(place) => {
                if self.ticket.is_some_and(|(_, since)| since.elapsed() > RENEWAL) {
                    self.leave()?;
                    self.join()?;
                }
                return Ok(Turn::After { first: line[0].id, others: place - 1 });
            }
            // Somebody has served it, or taken it for a killed writer's: it is to be looked at again.
            None => {
                self.ticket = None;
                return Ok(Turn::After { first: own, others: 0 });
            }
        }
        Ok(Turn::Ours(line.iter().skip(1).filter_map(|release| self.read(release)).take(MAX_TOGETHER).collect()))
    }

    /// Waits until the first ticket is gone or counts no more, or our own is to be renewed. Only
    /// who is next asks often: asking costs the server as much as a tenth of a commit.
    pub fn wait(&self, first: u64, others: usize, deadline: Instant) -> Result<(), Failure> {
        let path = first.to_string();
        let pause = if others == 0 { 250 } else { 1000 };
        let renewal = self.ticket.map_or(deadline, |(_, since)| deadline.min(since + RENEWAL));
        while Instant::now() < renewal {
            match self.api.gitea.get::<Release>(&self.api.path(&["releases", &path]), &[])? {
                Some(release) if !self.is_stale(&release) => std::thread::sleep(super::jitter(pause)),
                _ => break,
            }
        }
        Ok(())
    }

    /// Takes a place in the line, unless there is one.
    pub fn join(&mut self) -> Result<(), Failure> {
        if self.ticket.is_some() || self.closed {
            return Ok(());
        }
        let release = json!({
            "tag_name": self.tag,
            "target_commitish": self.api.remote.branch.as_str(),
            "name": format!("Goldpath: {} waits to be written", self.payload.cause.request),
            "body": self.text(),
            "draft": true,
        });
        match self.api.gitea.send::<Release>(Method::POST, &self.api.path(&["releases"]), &release) {
            Ok(release) => self.ticket = Some((release.id, Instant::now())),
            // An earlier run's is there, which the next look removes.
            Err(Failure::Conflict(_)) => {}
            // A repository without releases has no line: who loses comes back later.
            Err(Failure::Refused(_)) => self.closed = true,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Failure> {
        match self.ticket.take() {
            Some((id, _)) => self.remove(id),
            None => Ok(()),
        }
    }

    /// Gives up the place, and the one that an earlier run of ours had, which was killed: nobody
    /// is to write what it said.
    pub fn give_up(&mut self) -> Result<(), Failure> {
        if self.ticket.is_some() {
            return self.leave();
        }
        let line = self.list()?;
        line.iter().filter(|release| release.tag_name == self.tag).try_for_each(|left| self.remove(left.id))
    }

    /// Removes the tickets of what is written now, our own too.
    pub fn served(&mut self, others: &[Ticket]) -> Result<(), Failure> {
        for ticket in others {
            self.remove(ticket.id)?;
        }
        self.leave()
    }

    fn list(&self) -> Result<Vec<Release>, Failure> {
        let mut line: Vec<Release> = self.api.gitea.get_all(&self.api.path(&["releases"]), &[("draft", "true")])?;
        line.retain(|release| release.tag_name.starts_with(PREFIX));
        Ok(line)
    }

    fn is_stale(&self, release: &Release) -> bool {
        let age = self.api.gitea.now().duration_since(release.created_at);
        age > jiff::SignedDuration::try_from(LIFETIME).unwrap_or_default()
    }

    fn remove(&self, id: u64) -> Result<(), Failure> {
        self.api.gitea.delete(&self.api.path(&["releases", &id.to_string()]))
    }

    /// The signature, then what is signed; only that it waits, where it is too long to be told.
    fn text(&self) -> String {
        let payload = serde_json::to_string(&self.payload).unwrap_or_default();
        let tag = BASE64.encode(self.api.gitea.sign(payload.as_bytes()));
        let text = format!("{tag}\n{payload}");
        if text.len() > MAX_TEXT { String::new() } else { text }
    }

    /// What a ticket says; nothing where it is not signed by one of us, or too long to be told.
    fn read(&self, release: &Release) -> Option<Ticket> {
        let (tag, payload) = release.body.split_once('\n')?;
        if !self.api.gitea.is_signed(payload.as_bytes(), &BASE64.decode(tag).ok()?) {
            return None;
        }
        let Payload { branch, cause, files } = serde_json::from_str(payload).ok()?;
        if branch != self.payload.branch || release.tag_name != format!("{PREFIX}{}", cause.request.path()) {
            return None;
        }
        let mut tree = FileTree::default();
        for (path, content) in files {
            tree.insert(path, BASE64.decode(content).ok()?);
        }
        Some(Ticket { id: release.id, cause, files: tree })
    }
}
