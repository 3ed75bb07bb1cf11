//! How a change of what others refer to reaches them: first one of them, then some at a time, and no more when one is not well.
//!
//! Nothing is kept but what their own statuses say: with which digest of it each was rendered, and to what. So a run that is
//! killed loses nothing, and the next one goes on.

use crate::request::Identity;
use serde::Serialize;

/// A request that refers to what has changed.
#[derive(Clone, Debug)]
pub struct User {
    /// Which one.
    pub request: Identity,
    /// Whether it was rendered with what is true now.
    pub is_current: bool,
    /// Whether it would come out the same, and is left alone.
    pub stays: bool,
    /// Whether its Pipelines run, or are asked to: to ask again would stop them.
    pub is_at_work: bool,
    /// Whether it is paused, or being deleted: it is not asked.
    pub is_held: bool,
    /// Why it cannot be with what is true now, or was refused with it.
    pub fault: Option<String>,
}

/// What comes next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// Those that are to run now.
    pub next: Vec<Identity>,
    /// How far it is.
    pub progress: Progress,
    /// Whether nothing is left to wait for.
    pub is_over: bool,
}

/// How far a change has come, as a status says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How many are as they should be.
    pub current: usize,
    /// How many are not yet.
    pub behind: usize,
    /// Those that cannot be, or are not well, each with why: the first fifty.
    pub wrong: Vec<String>,
    /// How many these are.
    #[serde(skip)]
    pub wrong_in_all: usize,
}

/// As many as a status tells by name.
const TOLD: usize = 50;

/// Says which of all users are to run now, of which no more than `batch` are at work at once.
pub fn plan(users: &[User], batch: usize) -> Wave {
    let (mut wave, mut waiting, mut at_work) = (Wave::default(), Vec::new(), 0);
    let mut is_stopped = false;
    for user in users {
        if let Some(why) = &user.fault {
            wave.progress.wrong_in_all += 1;
            if wave.progress.wrong.len() < TOLD {
                wave.progress.wrong.push(format!("{}: {why}", user.request));
            }
            // One that has what is true now, and is not well with it: others would not be either.
            is_stopped |= user.is_current;
            continue;
        }
        // It has what is true now with the first of its Pipelines, and is at work until the last has ended.
        let counts = !user.is_held && (user.is_current || !user.stays);
        at_work += usize::from(user.is_at_work && counts);
        if user.is_current || user.stays {
            wave.progress.current += 1;
        } else {
            wave.progress.behind += 1;
            waiting.extend((counts && !user.is_at_work).then(|| user.request.clone()));
        }
    }
    // Those that come out the same prove nothing, and neither does one that has not ended.
    let allowed = if users.iter().any(|user| user.is_current && !user.is_at_work) { batch } else { 1 };
    if !is_stopped {
        waiting.truncate(allowed.saturating_sub(at_work));
        wave.next = waiting;
    }
    wave.is_over = is_stopped || (wave.next.is_empty() && at_work == 0);
    wave
}

impl Progress {
    /// How far it is, in words; nothing where nobody is concerned.
    pub fn summary(&self) -> Option<String> {
        let wrong = match self.wrong.as_slice() {
            [] => String::new(),
            [first] => format!("; not well with it: {first}"),
            [first, ..] => format!("; not well with it: {first} (and {} more)", self.wrong_in_all - 1),
        };
        let all = self.current + self.behind + self.wrong_in_all;
        (self.behind > 0 || !self.wrong.is_empty())
            .then(|| format!("{} of {all} Applications have it{wrong}", self.current))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn user(n: usize) -> User {
        User {
            request: format!("Application people/a{n}").parse().unwrap(),
            is_current: false,
            stays: false,
            is_at_work: false,
            is_held: false,
            fault: None,
        }
    }

    /// Runs waves until nothing is left; each that is asked has what is true now at the next look, and is at work for one more.
    fn run(users: &mut [User], batch: usize) -> (Vec<usize>, usize) {
        let (mut waves, mut most) = (Vec::new(), 0);
        loop {
            let wave = plan(users, batch);
            users.iter_mut().filter(|user| user.is_at_work).for_each(|user| {
                (user.is_at_work, user.is_current) = (!user.is_current, true);
            });
            waves.push(wave.next.len());
            for user in users.iter_mut().filter(|user| wave.next.contains(&user.request)) {
                assert!(!user.is_current && !user.is_at_work, "{:?} is asked twice", user.request);
                user.is_at_work = true;
            }
            most = most.max(users.iter().filter(|user| user.is_at_work).count());
            if wave.is_over {
                return (waves, most);
            }
            assert!(waves.len() < 100);
        }
    }

    #[test]
    fn sixty_are_reached_by_one_and_then_ten_at_a_time_and_none_twice() {
        let mut users: Vec<_> = (0..60).map(user).collect();
        let (waves, most) = run(&mut users, 10);
        assert_eq!((waves.iter().sum::<usize>(), waves[0], most), (60, 1, 10));
        assert!(users.iter().all(|user| user.is_current));
    }

    #[test]
    fn where_it_would_make_all_wrong_none_is_touched() {
        let wrong = |n| User { fault: Some("too many replicas".to_owned()), ..user(n) };
        let wave = plan(&(0..60).map(wrong).collect::<Vec<_>>(), 10);
        assert_eq!((wave.next.len(), wave.is_over, wave.progress.wrong.len()), (0, true, 50));
        assert_eq!(
            wave.progress.summary().unwrap(),
            "0 of 60 Applications have it; not well with it: Application people/a0: too many replicas (and 59 more)"
        );
    }

    #[test]
    fn those_that_come_out_the_same_and_those_that_would_be_wrong_are_left_alone() {
        let mut users: Vec<_> = (0..60).map(user).collect();
        users[..40].iter_mut().for_each(|user| user.stays = true);
        users[40..43].iter_mut().for_each(|user| user.fault = Some("no".to_owned()));
        let (waves, most) = run(&mut users, 10);
        assert_eq!((waves.iter().sum::<usize>(), waves[0], most), (17, 1, 10));
    }

    #[test]
    fn one_that_is_not_well_with_it_stops_the_others() {
        let mut users: Vec<_> = (0..10).map(user).collect();
        users[0] = User { is_current: true, fault: Some("refused".to_owned()), ..user(0) };
        let wave = plan(&users, 10);
        assert_eq!((wave.next.len(), wave.is_over, wave.progress.behind), (0, true, 9));
    }

    #[test]
    fn who_is_paused_or_at_work_is_not_asked() {
        let mut users: Vec<_> = (0..4).map(user).collect();
        users[0].is_held = true;
        users[1].is_at_work = true;
        users[2].is_current = true;
        let wave = plan(&users, 2);
        assert_eq!((wave.next, wave.is_over), (vec![users[3].request.clone()], false));
        // One that is being deleted may be at work for long.
        users[2].is_at_work = true;
        users[2].is_held = true;
        users[1].is_current = true;
        users[1].is_at_work = false;
        users[3].is_current = true;
        assert!(plan(&users, 2).is_over);
        let held = plan(&users[..1], 2);
        assert_eq!((held.next.len(), held.is_over, held.progress.behind), (0, true, 1));
    }
}
