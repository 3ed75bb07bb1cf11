//! The whole platform on real servers: Kratix runs the steps in Pods, Gitea and its runners review and apply, and a
//! request's status tells the truth. `scripts/run-e2e-tests.sh` runs these, and says what they need.
//!
//! They share one platform, made by the scripts that people use. Where the real Kratix is not at hand, Jobs of its
//! shape take its place ([`kratix`]); no story knows which it is.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which tell how long it takes")]

mod faults;
mod kratix;
mod kubernetes;
mod stories;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;
mod world;

use libtest_mimic::{Arguments, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use world::World;

/// What is looked at.
struct Story(&'static str, fn(&World), bool);

/// Each with whether CI has time for it.
const STORIES: [Story; 10] = [
    Story("people_read_what_a_team_is", stories::people_read_what_a_team_is, true),
    Story(
        "a_team_is_guarded_shrunk_destroyed_and_made_again",
        stories::a_team_is_guarded_shrunk_destroyed_and_made_again,
        true,
    ),
    Story("namesakes_stay_apart", stories::namesakes_stay_apart, true),
    Story("a_dry_run_changes_nothing", stories::a_dry_run_changes_nothing, true),
    Story("a_request_survives_a_new_version", stories::a_request_survives_a_new_version, true),
    Story("teams_are_created_changed_and_deleted", stories::teams_are_created_changed_and_deleted, false),
    Story("gitea_is_away_for_two_minutes", faults::gitea_is_away_for_two_minutes, false),
    Story("the_node_restarts_in_the_middle", faults::the_node_restarts_in_the_middle, false),
    // Leaves a runner that plans for minutes, which is then killed.
    Story("many_teams_at_once", stories::many_teams_at_once, false),
    Story("kratix_and_a_runner_die_in_the_middle", faults::kratix_and_a_runner_die_in_the_middle, false),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after the other: some take servers away.
    arguments.test_threads = Some(1);
    let world = Arc::new(Mutex::new(None));
    let is_whole = support::whole_or(1, 0) == 1;
    let trials = STORIES.map(|Story(name, story, in_ci)| {
        let world = Arc::clone(&world);
        let trial = Trial::test(name, move || {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            let world = world.get_or_insert_with(World::new);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| story(world))) {
                world.keep_artefacts(name);
                resume_unwind(panic);
            }
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
