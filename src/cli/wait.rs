//! `goldpath status --wait`: looks again until requests are as far as somebody wants them.

use super::tell;
use crate::standing::{Standing, Standings, UNKNOWN};
use anyhow::Result;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The shortest pause between two looks. Each costs the server some calls for every request that is there.
const PAUSE: Duration = Duration::from_secs(2);

/// How far requests are to be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// It is so; or it is in a repository in which nothing tells more
    Applied,
    /// A person can look at the pull request, or has
    AwaitingReview,
    /// No repository holds anything of it
    Deleted,
}

/// How waiting has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// All are as they are to be.
    Reached,
    /// One stays as it is until a person does something.
    Stopped,
    /// The time is up.
    Late,
}

impl Goal {
    /// Whether a request has reached it, or never will by itself; nothing while it goes on. `known` tells that what is not
    /// there is in no repository.
    fn judge(self, standing: Option<&Standing>, known: bool) -> Option<Waited> {
        let Some(standing) = standing else {
            return (self == Self::Deleted && known).then_some(Waited::Reached);
        };
        match (standing.phase, self) {
            ("failed" | "closed" | "conflicted" | "changes-requested" | "wrong" | "refused", _) => {
                Some(Waited::Stopped)
            }
            ("awaiting-review" | "merged" | "applying" | "applied" | "delivered", Self::AwaitingReview) => {
                Some(Waited::Reached)
            }
            ("applied" | "delivered", Self::Applied) if !standing.deletion => Some(Waited::Reached),
            _ => None,
        }
    }
}

/// Looks until each of the requests is as far as it is to be, by their paths; all that there are if none is named. Tells what
/// changes meanwhile, and gives what was seen last.
///
/// # Errors
/// Those of a look.
pub fn wait(
    goal: Goal,
    requests: &[String],
    timeout: Duration,
    mut look: impl FnMut() -> Result<Standings>,
) -> Result<(Standings, Waited)> {
    let begin = Instant::now();
    let mut told = BTreeMap::new();
    loop {
        let before = Instant::now();
        let standings = look()?;
        let by_path: BTreeMap<_, _> = standings.requests.iter().map(|s| (s.request.path(), s)).collect();
        let paths: Vec<_> = if requests.is_empty() { by_path.keys().cloned().collect() } else { requests.to_vec() };
        let is_known = standings.notes.is_empty();
        let (mut all, mut is_stopped) = (is_known || !requests.is_empty(), false);
        for path in paths {
            let standing = by_path.get(&path).copied();
            let missing = if is_known { "not there" } else { UNKNOWN };
            let phase = standing.map_or(missing, |standing| standing.phase);
            if told.insert(path.clone(), phase) != Some(phase) {
                let why = match standing {
                    _ if phase != UNKNOWN => String::new(),
                    Some(standing) => format!(": {}", standing.message),
                    None => format!(": {}", standings.notes[0]),
                };
                tell(&format!("{}\n", super::one_line(&format!("{path}: {phase}{why}"))));
            }
            let ended = goal.judge(standing, is_known);
            all &= ended == Some(Waited::Reached);
            is_stopped |= ended == Some(Waited::Stopped);
        }
        let waited = match (all, is_stopped) {
            (true, _) => Some(Waited::Reached),
            (false, true) => Some(Waited::Stopped),
            (false, false) => (begin.elapsed() >= timeout).then_some(Waited::Late),
        };
        if let Some(waited) = waited {
            return Ok((standings, waited));
        }
        // What takes long is done less often.
        sleep(before.elapsed().max(PAUSE).min(timeout.saturating_sub(begin.elapsed())));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::request::Identity;

    fn standings(phases: &[(&str, &'static str)]) -> Standings {
        let request = |name: &str| name.parse::<Identity>().unwrap();
        let requests = phases.iter().map(|(name, phase)| Standing::at(request(&format!("Team default/{name}")), phase));
        Standings { requests: requests.collect(), notes: Vec::new() }
    }

    /// What comes of it, with what each look finds; the last stays.
    fn waited(goal: Goal, requests: &[&str], looks: &[&[(&str, &'static str)]]) -> (usize, Waited) {
        let (mut count, requests) = (0, requests.iter().map(|name| format!("team/default/{name}")).collect::<Vec<_>>());
        let look = || {
            count += 1;
            Ok(standings(looks[(count - 1).min(looks.len() - 1)]))
        };
        let (_, waited) = wait(goal, &requests, Duration::ZERO, look).unwrap();
        (count, waited)
    }

    #[test]
    fn each_goal_has_its_phases() {
        use Goal::{Applied, AwaitingReview, Deleted};
        use Waited::{Late, Reached, Stopped};
        for (goal, requests, seen, expected) in [
            (Applied, &["a"][..], &[("a", "applied"), ("b", "planning")][..], Reached),
            (Applied, &["a"], &[("a", "delivered")], Reached),
            (Applied, &[], &[("a", "applied"), ("b", "planning")], Late),
            (Applied, &[], &[("a", "applied"), ("b", "closed"), ("c", "planning")], Stopped),
            (Applied, &["a"], &[], Late),
            (Applied, &["a"], &[("a", "awaiting-review")], Late),
            (AwaitingReview, &["a"], &[("a", "awaiting-review")], Reached),
            (AwaitingReview, &["a"], &[("a", "planning")], Late),
            (AwaitingReview, &["a"], &[("a", UNKNOWN)], Late),
            (AwaitingReview, &["a"], &[("a", "changes-requested")], Stopped),
            (Deleted, &["a"], &[("b", "applied")], Reached),
            (Deleted, &["a"], &[("a", "applied")], Late),
            (Deleted, &["a"], &[("a", "closed")], Stopped),
        ] {
            assert!(waited(goal, requests, &[seen]) == (1, expected), "{requests:?} {seen:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_deleted() {
        let look = || Ok(Standings { requests: Vec::new(), notes: vec!["infrastructure: no answer".to_owned()] });
        for requests in [&["team/default/a".to_owned()][..], &[]] {
            let (_, waited) = wait(Goal::Deleted, requests, Duration::ZERO, look).unwrap();
            assert!(waited == Waited::Late, "{requests:?}");
        }
    }
}
