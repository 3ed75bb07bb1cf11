//! What a request refers to and does not hold: what rendering needs to know, and what is known of it.
//!
//! Rendering does no I/O. It says what it lacks, a [`Source`] looks for all of that together, and it is called again.

use crate::names::Kind;
use crate::template::TemplateError;
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something outside of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The request of a kind whose id this is, as the Team `alpha`.
    Request {
        /// As `Team`.
        kind: Kind,
        /// As its `spec.id` has it.
        id: String,
    },
}

impl Need {
    /// The name alone.
    pub fn id(&self) -> &str {
        let Self::Request { id, .. } = self;
        id
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Request { kind, id } = self;
        write!(f, "{kind} `{id}`")
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Found,
    /// Whoever has all of them has none of this name.
    Absent,
    /// It is not where somebody looked who does not see all.
    NotSeen {
        /// One that is there and has nearly the same name.
        nearest: Option<String>,
    },
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
        Ok(Known(needs.iter().map(|need| (need.clone(), Answer::NotSeen { nearest: None })).collect()))
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
    Broken(TemplateError),
}

impl From<TemplateError> for Stop {
    fn from(error: TemplateError) -> Self {
        Self::Broken(error)
    }
}

impl From<Vec<Violation>> for Stop {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Wrong(violations)
    }
}

impl Known {
    /// Warns of each that is not there, by the path of the field that names it.
    ///
    /// # Errors
    /// What is not known yet.
    pub fn warnings(&self, relations: &[Relation]) -> Result<Vec<Violation>, Stop> {
        let needs: BTreeSet<_> = relations
            .iter()
            .map(|relation| &relation.need)
            .filter(|need| !self.0.contains_key(need))
            .cloned()
            .collect();
        if !needs.is_empty() {
            return Err(Stop::Needs(needs));
        }
        let warn = |Relation { path, need, rule }: &Relation| {
            let Need::Request { kind, id } = need;
            let refusal = match self.0.get(need)? {
                Answer::Found => return None,
                Answer::Absent => Refusal::new(ABSENT, format!("{} is the id of no {kind}", quote(id)))
                    .help("right if it comes later; else look for a slip"),
                Answer::NotSeen { nearest } => Refusal::new(rule, format!("{} is none of these {kind}s", quote(id)))
                    .help("right if it was applied before; else look for a slip")
                    .suggest(id, nearest.iter().map(String::as_str)),
            };
            Some(refusal.at(path.as_str(), None))
        };
        Ok(relations.iter().filter_map(warn).collect())
    }
}
