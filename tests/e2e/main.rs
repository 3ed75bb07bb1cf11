//! The whole platform on real servers: Kratix runs the steps in Pods, Gitea and its runners review and apply, and a
//! request's status tells the truth. `scripts/run-e2e-tests.sh` runs these, and says what they need.
//!
//! They share one platform, made by the scripts that people use. Where the real Kratix is not at hand, Jobs of its
//! shape take its place ([`kratix`]); no story knows which it is.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which tell how long it takes")]

mod faults;
mod flux;
mod kratix;
mod kubernetes;
mod stories;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;
mod waves;
mod world;

use libtest_mimic::{Arguments, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;
use world::World;

/// What is looked at.
struct Story {
    name: &'static str,
    tell: fn(&World),
    /// It takes servers away, changes the Promise of all, or counts what all have written.
    alone: bool,
    /// CI has time for it.
    in_ci: bool,
}

macro_rules! story {
    ($module:ident::$name:ident, alone: $alone:literal, in_ci: $in_ci:literal) => {
        Story { name: stringify!($name), tell: $module::$name, alone: $alone, in_ci: $in_ci }
    };
}

const STORIES: [Story; 13] = [
    story!(stories::every_kind_lives, alone: false, in_ci: true),
    story!(stories::an_application_reaches_every_cluster, alone: false, in_ci: true),
    story!(stories::namesakes_stay_apart, alone: false, in_ci: true),
    story!(stories::people_read_what_a_team_is, alone: false, in_ci: true),
    story!(stories::a_dry_run_changes_nothing, alone: true, in_ci: true),
    story!(stories::a_request_survives_a_new_version, alone: true, in_ci: true),
    story!(stories::teams_are_created_changed_and_deleted, alone: true, in_ci: false),
    story!(faults::gitea_is_away_for_two_minutes, alone: true, in_ci: false),
    story!(faults::the_node_restarts_in_the_middle, alone: true, in_ci: false),
    // Needs Flux.
    story!(flux::flux_brings_an_application_to_every_cluster_and_out_of_them, alone: true, in_ci: false),
    story!(waves::sixty_applications_follow_their_environment_in_waves, alone: true, in_ci: false),
    // Leaves a runner that plans for minutes, which is then killed.
    story!(stories::many_teams_at_once, alone: true, in_ci: false),
    story!(faults::kratix_and_a_runner_die_in_the_middle, alone: true, in_ci: false),
];

/// As many stories as are told at once: more would wait for the one runner of each kind.
const TOGETHER: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(TOGETHER);
    let world = Arc::new(RwLock::new(None));
    // In the order of the table, whatever waits for the others to end.
    let turn = Arc::new(Mutex::new(()));
    let is_whole = support::whole_or(1, 0) == 1;
    let trials = STORIES.map(|Story { name, tell, alone, in_ci }| {
        let (world, turn) = (Arc::clone(&world), Arc::clone(&turn));
        let trial = Trial::test(name, move || {
            let tell = |world: &World| {
                let begin = Instant::now();
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(world))) {
                    world.keep_artefacts(name);
                    resume_unwind(panic);
                }
                println!("e2e: {name}: passed in {} s", begin.elapsed().as_secs());
            };
            let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut all = world.write().unwrap_or_else(PoisonError::into_inner);
            all.get_or_insert_with(World::new);
            if alone {
                tell(all.as_ref().unwrap());
                return Ok(());
            }
            let all = RwLockWriteGuard::downgrade(all);
            drop(turn);
            tell(all.as_ref().unwrap());
            Ok(())
        });
        trial.with_ignored_flag(!in_ci && !is_whole)
    });
    let checks = kratix::checks().map(|(name, check)| {
        Trial::test(format!("kratix::{name}"), move || {
            check();
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, checks.chain(trials).collect());
    drop(world);
    conclusion.exit_code()
}
