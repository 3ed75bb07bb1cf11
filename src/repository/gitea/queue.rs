//! What waits to be written to one branch: the line of those that write, and what others have claimed.
//!
//! A writer that finds nobody waiting writes at once. Who loses a race, or finds others waiting, leaves a ticket with what
//! it has to write; the oldest ticket's owner writes what all of them say, as one commit. A ticket is a draft release,
//! because that is the one thing in a repository that Gitea keeps in its database alone: making, listing and removing one
//! takes some 10 ms each, a commit thirty times that. Nobody but who may write the repository sees it.
//!
//! The line only saves work. What decides is the branch: a ticket that is lost, late or doubled costs a try, never a file.
//! A ticket of a killed writer counts for [`LIFETIME`], and is then removed by whoever sees it.
//!
//! A claim is a ticket without a writer: it keeps paths for a request until somebody has written them, and of two claims
//! the older one counts. Every writer looks at all claims before it writes, and writes them too.
//!
//! Tickets are signed with the token that all of them hold: who may only write the repository cannot have something
//! written in Goldpath's name. Who has kept one cannot show it again: it says when it was made, and Gitea, when it was put
//! there or edited.

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
pub const LIFETIME: Duration = Duration::from_secs(15);
/// After how long an owner that is still there renews its own.
const RENEWAL: Duration = Duration::from_secs(10);
/// The longest text of a ticket, in bytes: where Gitea keeps it in MySQL, a release takes 64 KiB.
/// A larger delivery takes its turn, and only itself.
const MAX_TEXT: usize = 60_000;
/// How long nobody has claimed anything before what many have claimed is written: for each of them what Kratix may take to
/// write its manifests.
const EACH_CLAIM: Duration = Duration::from_millis(500);
const LONGEST_QUIET: Duration = Duration::from_secs(20);
/// As many deliveries in one commit, at most.
pub const MAX_TOGETHER: usize = 50;

/// What the tags of waiting tickets begin with, and of claims; the request follows, and after a claim's when it was made.
const WAITING: &str = "goldpath/queue/";
const CLAIM: &str = "goldpath/claim/";

/// A writer's place in the line.
pub struct Queue {
    api: Arc<Api>,
    payload: Payload,
    /// Our own ticket, and since when we have it.
    ticket: Option<(u64, Instant)>,
    /// Whether the repository has no releases.
    closed: bool,
}

/// Whose turn it is.
pub enum Turn {
    /// Ours, with what others have to write.
    Ours(Orders),
    /// Ours after that of the first ticket, with so many others before us.
    After { first: u64, others: usize },
}

/// What others have to write.
#[derive(Default)]
pub struct Orders {
    /// What they have claimed before us.
    pub before: Vec<Ticket>,
    /// Our own claims.
    own: Vec<u64>,
    /// What comes after ours.
    pub after: Vec<Ticket>,
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
    /// By Gitea's clock, so that it is good for the release that was made then, and for no copy of it.
    made: Timestamp,
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
        let payload = Payload { branch, made: Timestamp::UNIX_EPOCH, cause: cause.clone(), files };
        Self { api, payload, ticket: None, closed: false }
    }

    /// Says whose turn it is; takes a place where others wait. A repository without commits has
    /// no line.
    pub fn turn(&mut self, exists: bool) -> Result<Turn, Failure> {
        if self.closed || !exists {
            return Ok(Turn::Ours(Orders::default()));
        }
        let Listed { own: own_claims, claims, mut line } = self.list()?;
        for stale in line.iter().filter(|release| self.is_stale(release)) {
            self.remove(stale.id)?;
        }
        line.retain(|release| !self.is_stale(release));
        // Of an earlier run of this request, which was killed: it may say something older.
        let own = self.ticket.map(|(id, _)| id);
        for left in line.iter().filter(|release| self.is_own(release) && Some(release.id) != own) {
            self.remove(left.id)?;
        }
        line.retain(|release| !self.is_own(release) || Some(release.id) == own);
        match (own, own.and_then(|own| line.iter().position(|release| release.id == own))) {
            // One writes what many have claimed, not each of them.
            (None, _) if line.is_empty() && own_claims.len() + claims.len() < 2 => {}
            (None, _) => {
                self.join()?;
                return match line.as_slice() {
                    [first, others @ ..] => Ok(Turn::After { first: first.id, others: others.len() }),
                    [] => self.turn(exists),
                };
            }
            (Some(_), Some(0)) => {}
            (Some(_), Some(place)) => {
                if self.ticket.is_some_and(|(_, since)| since.elapsed() > RENEWAL) {
                    self.leave()?;
                    self.join()?;
                }
                return Ok(Turn::After { first: line[0].id, others: place - 1 });
            }
            // Somebody has served it, or taken it for a killed writer's: it is to be looked at again.
            (Some(own), None) => {
                self.ticket = None;
                return Ok(Turn::After { first: own, others: 0 });
            }
        }
        let own: Vec<_> = own_claims.iter().map(|release| release.id).collect();
        let since = own.first().copied().unwrap_or(u64::MAX);
        let (before, later): (Vec<_>, Vec<_>) = claims.into_iter().partition(|release| release.id < since);
        let after = later.into_iter().chain(line.into_iter().skip(1)).take(MAX_TOGETHER);
        Ok(Turn::Ours(Orders { before: self.read_all(before), own, after: self.read_all(after.collect()) }))
    }

    /// Claims the paths, unless that was done, and gives what was claimed before. None where nothing can be claimed: in a
    /// repository without commits or without releases, or for more than a ticket can say.
    pub fn claim(&mut self, exists: bool) -> Result<Option<Vec<Ticket>>, Failure> {
        if !exists || self.text().is_empty() {
            return Ok(None);
        }
        let mut listed = self.list()?;
        if !listed.own.iter().any(|release| self.is_this(release)) {
            let text = self.text();
            let when = self.api.gitea.now().as_millisecond();
            let tag = format!("{CLAIM}{}/{when}", self.payload.cause.request.path());
            match self.create(&tag, &text) {
                Ok(_) => {}
                // Made, although we were not told so.
                Err(Failure::Conflict(_)) => {}
                Err(Failure::Refused(_)) => return Ok(None),
                Err(failure) => return Err(failure),
            }
            listed = self.list()?;
        }
        let Listed { own, claims, .. } = listed;
        // What an earlier edit has claimed and this one has not.
        for old in own.iter().filter(|release| !self.is_this(release)) {
            self.remove(old.id)?;
        }
        let Some(since) = own.iter().find(|release| self.is_this(release)).map(|release| release.id) else {
            return Err(Failure::LostRace);
        };
        Ok(Some(self.read_all(claims.into_iter().filter(|release| release.id < since).collect())))
    }

    /// Waits while others go on claiming, where we have claimed too, at most until `end`.
    pub fn let_others_claim(&self, end: Instant) -> Result<(), Failure> {
        loop {
            let Listed { own, claims, .. } = self.list()?;
            let Some(newest) = claims.iter().map(|claim| claim.created_at).max().filter(|_| !own.is_empty()) else {
                return Ok(());
            };
            let quiet = EACH_CLAIM.saturating_mul(claims.len() as u32).min(LONGEST_QUIET);
            let age = Duration::try_from(self.api.gitea.now().duration_since(newest)).unwrap_or_default();
            match quiet.checked_sub(age) {
                Some(rest) if !rest.is_zero() && Instant::now() + rest < end => std::thread::sleep(rest),
                _ => return Ok(()),
            }
        }
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
        let tag = format!("{WAITING}{}", self.payload.cause.request.path());
        let text = self.text();
        match self.create(&tag, &text) {
            Ok(release) => self.ticket = Some((release.id, Instant::now())),
            // An earlier run's is there, which the next look removes.
            Err(Failure::Conflict(_)) => {}
            // A repository without releases has no line: who loses comes back later.
            Err(Failure::Refused(_)) => self.closed = true,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn create(&self, tag: &str, text: &str) -> Result<Release, Failure> {
        let release = json!({
            "tag_name": tag,
            "target_commitish": self.api.remote.branch.as_str(),
            "name": format!("Goldpath: {} waits to be written", self.payload.cause.request),
            "body": text,
            "draft": true,
        });
        self.api.gitea.send(Method::POST, &self.api.path(&["releases"]), &release)
    }

    fn leave(&mut self) -> Result<(), Failure> {
        match self.ticket.take() {
            Some((id, _)) => self.remove(id),
            None => Ok(()),
        }
    }

    /// Gives up the place and all claims, those of an earlier run that was killed too: nobody is to write what they say.
    /// Gives whether there were any, which somebody may be writing now.
    pub fn give_up(&mut self) -> Result<bool, Failure> {
        self.ticket = None;
        let Listed { own, line, .. } = self.list()?;
        let own: Vec<_> = own.iter().chain(line.iter().filter(|release| self.is_own(release))).collect();
        own.iter().try_for_each(|release| self.remove(release.id))?;
        Ok(!own.is_empty())
    }

    /// Removes the tickets of what is written now.
    pub fn served(&self, orders: &Orders) -> Result<(), Failure> {
        orders.before.iter().chain(&orders.after).try_for_each(|ticket| self.remove(ticket.id))
    }

    /// Removes our own, which is written now.
    pub fn end(&mut self, orders: &Orders) -> Result<(), Failure> {
        orders.own.iter().try_for_each(|id| self.remove(*id))?;
        self.leave()
    }

    /// All that is there, the oldest first.
    fn list(&self) -> Result<Listed, Failure> {
        let mut all: Vec<Release> = self.api.gitea.get_all(&self.api.path(&["releases"]), &[("draft", "true")])?;
        all.sort_by_key(|release| release.id);
        let (claims, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|release| release.tag_name.starts_with(CLAIM));
        let (own, claims) = claims.into_iter().partition(|release| self.is_own(release));
        let line = others.into_iter().filter(|release| release.tag_name.starts_with(WAITING)).collect();
        Ok(Listed { own, claims, line })
    }

    fn is_own(&self, release: &Release) -> bool {
        is_of(release, &self.payload.cause)
    }

    fn is_stale(&self, release: &Release) -> bool {
        let age = self.api.gitea.now().duration_since(release.created_at);
        age > jiff::SignedDuration::try_from(LIFETIME).unwrap_or_default()
    }

    fn remove(&self, id: u64) -> Result<(), Failure> {
        self.api.gitea.delete(&self.api.path(&["releases", &id.to_string()]))
    }

    /// The signature, then what is signed; only that it waits, where it is too long to be told.
    fn text(&mut self) -> String {
        self.payload.made = self.api.gitea.now();
        let payload = serde_json::to_string(&self.payload).unwrap_or_default();
        let tag = BASE64.encode(self.api.gitea.sign(payload.as_bytes()));
        let text = format!("{tag}\n{payload}");
        if text.len() > MAX_TEXT { String::new() } else { text }
    }

    fn read_all(&self, releases: Vec<Release>) -> Vec<Ticket> {
        releases.iter().filter_map(|release| self.read(release)).collect()
    }

    /// Whether a ticket says what ours does.
    fn is_this(&self, release: &Release) -> bool {
        let Payload { cause, files, .. } = &self.payload;
        self.payload_of(release).is_some_and(|payload| payload.cause == *cause && payload.files == *files)
    }

    /// What a ticket says; nothing where it is not signed by one of us for this release, or too long to be told.
    fn payload_of(&self, release: &Release) -> Option<Payload> {
        let (tag, payload) = release.body.split_once('\n')?;
        if !self.api.gitea.is_signed(payload.as_bytes(), &BASE64.decode(tag).ok()?) {
            return None;
        }
        let payload: Payload = serde_json::from_str(payload).ok()?;
        let age = release.created_at.duration_since(payload.made);
        let is_copy = age > jiff::SignedDuration::try_from(LIFETIME).unwrap_or_default();
        (payload.branch == self.payload.branch && is_of(release, &payload.cause) && !is_copy).then_some(payload)
    }

    fn read(&self, release: &Release) -> Option<Ticket> {
        let Payload { cause, files, .. } = self.payload_of(release)?;
        let mut tree = FileTree::default();
        for (path, content) in files {
            tree.insert(path, BASE64.decode(content).ok()?);
        }
        Some(Ticket { id: release.id, cause, files: tree })
    }
}

/// What is there of draft releases that are ours.
struct Listed {
    /// Our own claims.
    own: Vec<Release>,
    /// Those of others.
    claims: Vec<Release>,
    line: Vec<Release>,
}

/// Whether the tag is that of a request's ticket or claim.
fn is_of(release: &Release, cause: &Cause) -> bool {
    let request = cause.request.path();
    let is_claim = |rest: &str| rest.strip_prefix(&request).is_some_and(|when| when.starts_with('/'));
    match release.tag_name.strip_prefix(CLAIM) {
        Some(rest) => is_claim(rest),
        None => release.tag_name.strip_prefix(WAITING) == Some(&request),
    }
}
