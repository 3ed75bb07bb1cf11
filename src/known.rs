//! What a request refers to and does not hold: what rendering needs to know, and what is known of it.
//!
//! Rendering does no I/O. It says what it lacks, a [`Source`] looks for all of that together, and it is called again.

use crate::document::Node;
use crate::names::Kind;
use crate::object_template::ObjectTemplateError;
use crate::template::TemplateError;
use crate::text::quote;
use crate::violation::{Refusal, Violation, nearest};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Something outside of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The request of a kind whose id this is, as the Team `alpha`.
    Request {
        /// As `Team`.
        kind: Kind,
        /// As its `spec.id` has it, or what its Promise has instead.
        id: String,
    },
    /// The requests that cannot be without that one: all that there are, also none.
    Users {
        /// As `Environment`.
        kind: Kind,
        /// As for a request.
        id: String,
    },
}

impl Need {
    /// The name alone.
    pub fn id(&self) -> &str {
        let (Self::Request { id, .. } | Self::Users { id, .. }) = self;
        id
    }

    /// The kind alone.
    pub fn kind(&self) -> &Kind {
        let (Self::Request { kind, .. } | Self::Users { kind, .. }) = self;
        kind
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.id())
    }
}

/// A field of a request that names another.
#[derive(Clone, Debug)]
pub struct Relation {
    /// As `spec.parent`, or `spec.allowNetworkFrom[1]`.
    pub path: String,
    /// Whom it names.
    pub need: Need,
    /// The rule of the warning that nobody of that name was seen.
    pub rule: &'static str,
}

/// What is known of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The requests that have the id, each whole: more than one where an id was asked for twice, of which one has got it.
    Found(Vec<Arc<Node>>),
    /// Whoever has all of them has none of this name.
    Absent(Others),
    /// It is not where somebody looked who does not see all.
    NotSeen(Others),
}

/// What there is instead of what was looked for.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// The one with nearly the same name.
    nearest: Option<String>,
    /// Some of their names.
    names: Vec<String>,
    /// How many more there are.
    more: usize,
}

impl Others {
    /// As many as are told by name.
    const TOLD: usize = 10;

    /// Those of these names, sorted, where `id` was looked for.
    pub fn of<'n>(id: &str, names: impl IntoIterator<Item = &'n str> + Clone) -> Self {
        let all = names.clone().into_iter().count();
        let told: Vec<_> = names.clone().into_iter().take(Self::TOLD).map(str::to_owned).collect();
        Self { nearest: nearest(id, names).map(str::to_owned), more: all - told.len(), names: told }
    }

    /// Refuses a request that cannot be without what it names.
    pub fn refuse(&self, need: &Need, rule: &'static str) -> Refusal {
        let (kind, id) = (need.kind(), need.id());
        let names: Vec<_> = self.names.iter().map(|name| quote(name)).collect();
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        let help = match names.is_empty() {
            true => format!("there is no {kind} yet: apply one first"),
            false => format!("there are {}{more}", names.join(", ")),
        };
        Refusal::new(rule, format!("{} is no {kind}", quote(id))).help(help).suggest(id, self.nearest.as_deref())
    }
}

/// All that is known when a request is rendered.
#[derive(Clone, Debug, Default)]
pub struct Known(pub BTreeMap<Need, Answer>);

/// Who looks for what a request needs.
pub trait Source {
    /// Looks for all of these, and gives an answer for each.
    ///
    /// # Errors
    /// A server or a file that cannot be read: why.
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known>;

    /// Whom a request that is there names as its parent, as far as that can be told at once.
    fn parent(&self, _: &Need) -> Option<Need> {
        None
    }
}

/// Where nobody can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Source for Nobody {
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known> {
        Ok(Known(needs.iter().map(|need| (need.clone(), Answer::NotSeen(Others::default()))).collect()))
    }
}

/// The rule of a warning that holds wherever the request is.
pub const ABSENT: &str = "absent";

/// Why rendering goes no further.
#[derive(Debug)]
pub enum Stop {
    /// It has to know these first.
    Needs(BTreeSet<Need>),
    /// See [`crate::outputs::Unrendered::Wrong`].
    Wrong(Vec<Violation>),
    /// See [`crate::outputs::Unrendered::Broken`].
    Broken(anyhow::Error),
}

impl From<ObjectTemplateError> for Stop {
    fn from(error: ObjectTemplateError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<TemplateError> for Stop {
    fn from(error: TemplateError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Vec<Violation>> for Stop {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Wrong(violations)
    }
}

impl Known {
    /// Asks for all of these that are not known yet.
    ///
    /// # Errors
    /// Those.
    pub fn require<'n>(&self, needs: impl IntoIterator<Item = &'n Need>) -> Result<(), Stop> {
        let unknown: BTreeSet<_> = needs.into_iter().filter(|need| !self.0.contains_key(need)).cloned().collect();
        if unknown.is_empty() { Ok(()) } else { Err(Stop::Needs(unknown)) }
    }

    /// The requests that have the id that `need` names.
    ///
    /// # Errors
    /// What there is instead; nothing of that where nobody has looked.
    pub fn find(&self, need: &Need) -> Result<&[Arc<Node>], Others> {
        match self.0.get(need) {
            Some(Answer::Found(found)) => Ok(found),
            Some(Answer::Absent(others) | Answer::NotSeen(others)) => Err(others.clone()),
            None => Err(Others::default()),
        }
    }

    /// Warns of each that is not there, by the path of the field that names it.
    ///
    /// # Errors
    /// What is not known yet.
    pub fn warnings(&self, relations: &[Relation]) -> Result<Vec<Violation>, Stop> {
        self.require(relations.iter().map(|relation| &relation.need))?;
        let warn = |Relation { path, need, rule }: &Relation| {
            let (kind, id) = (need.kind(), need.id());
            let refusal = match self.0.get(need)? {
                Answer::Found(_) => return None,
                Answer::Absent(_) => Refusal::new(ABSENT, format!("{} is the id of no {kind}", quote(id)))
                    .help("right if it comes later; else look for a slip"),
                Answer::NotSeen(Others { nearest, .. }) => {
                    Refusal::new(rule, format!("{} is none of these {kind}s", quote(id)))
                        .help("right if it was applied before; else look for a slip")
                        .suggest(id, nearest.iter().map(String::as_str))
                }
            };
            Some(refusal.at(path.as_str(), None))
        };
        Ok(relations.iter().filter_map(warn).collect())
    }
}
