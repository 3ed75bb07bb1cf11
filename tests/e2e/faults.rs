//! What dies in the middle of a request's way, and that nothing is lost or done twice.

use crate::support::platform::{APPLY, PLAN};
use crate::support::until;
use crate::world::{Team, World};
use serde_json::json;
use std::time::Duration;

/// Some Teams on their way, when a server goes away.
fn begin<'w>(world: &'w World, name: &str, count: usize) -> Vec<Team<'w>> {
    let namespace = world.namespace(name);
    let teams: Vec<_> = (0..count).map(|n| world.team(&namespace, &format!("t{n}"), &format!("{name}-{n}"))).collect();
    for team in &teams {
        team.apply(&json!({"name": format!("Team {}", team.name)}));
    }
    teams
}

/// All of them came to what they must be, once: their files, one pull request each, and one commit to the catalog each.
fn end(world: &World, teams: &[Team<'_>]) {
    for team in teams {
        team.run_again();
        team.delivered(300);
        until(120, || format!("the manifests of {}", team.name), || (team.manifests().len() == 6).then_some(()));
        let branch = format!("team/{}/{}", team.namespace, team.name);
        let pulls = world.platform().organization.pulls("infrastructure");
        let ours = pulls.iter().filter(|p| p["head"]["ref"].as_str().unwrap().ends_with(&branch)).count();
        assert_eq!(ours, 1, "pull requests from {branch}");
        assert_eq!(world.commits_to("catalog", &format!("teams/{}.yaml", team.managed.0)), 1, "{}", team.managed.0);
    }
    teams[0].review("+1 ~0 -0");
}

pub fn kratix_and_a_runner_die_in_the_middle(world: &World) {
    let teams = begin(world, "killed", 3);
    until(60, || "a Job".to_owned(), || (!teams[0].jobs().is_empty()).then_some(()));
    world.restart_kratix();
    {
        let mut platform = world.platform.write().unwrap();
        for label in [PLAN, APPLY] {
            platform.kill_runner(label);
            platform.start_runner(label);
        }
    }
    // Gitea takes a run whose runner was killed for one that runs, and lets no other begin that a bell asks for: the clock
    // does, in some minutes, or somebody.
    for team in &teams {
        team.run_again();
        team.delivered(300);
        let number = team.pull();
        let platform = world.platform();
        let run = platform.dispatch("plan", &json!({"pull": number.to_string()}));
        assert_eq!(platform.ended(run), "success", "{}", platform.job_logs());
    }
    end(world, &teams);
}

pub fn gitea_is_away_for_two_minutes(world: &World) {
    let teams = begin(world, "away", 4);
    until(60, || "a Job".to_owned(), || (!teams[0].jobs().is_empty()).then_some(()));
    world.disturb("GOLDPATH_STOP_GITEA");
    // How long it is away is what this is about.
    std::thread::sleep(Duration::from_secs(120));
    world.disturb("GOLDPATH_START_GITEA");
    end(world, &teams);
}

pub fn the_node_restarts_in_the_middle(world: &World) {
    let teams = begin(world, "node", 4);
    until(60, || "a Job".to_owned(), || (!teams[0].jobs().is_empty()).then_some(()));
    world.disturb("GOLDPATH_RESTART_NODE");
    end(world, &teams);
}
