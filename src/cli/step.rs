//! What containers run: the library's steps, with Kratix's folders, and the Pipelines that a Promise makes of them.
//! The program is the one that it is called by the name of.
//!
//! A container costs the cluster more than all that we do in it, so a Pipeline is one. The manifests go out with the
//! first, which only claims what they name, because commits and pull requests take a hundred times as long.
#![expect(clippy::print_stdout, reason = "a step's log is its output")]

mod rollout;

use super::{ConfigArgs, SERVICE_ACCOUNT};
use crate::cluster::ServiceAccount;
use crate::commit::{self, Task};
use crate::config::{Config, Loaded};
use crate::document::{self, Node};
use crate::http::at_once;
use crate::known::{Answer, Known, Need, Nobody, Others, Source};
use crate::kratix::Folders;
use crate::outcome::{Action, Extent};
use crate::promise::{find, has_its_id, held_by, users_of, uses};
use crate::render;
use crate::track;
use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, FromArgMatches, Parser};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Check a request and render what it asks for
#[derive(Parser)]
#[command(name = "render", version)]
struct Render {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Deliver what `render` left to the repositories, or take it out of them
#[derive(Parser)]
#[command(name = "commit", version)]
struct Commit {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
    /// What to do with the request's files
    #[arg(long, env = "KRATIX_WORKFLOW_ACTION", default_value = "configure")]
    action: Action,
    /// Say what would be done, and do nothing
    #[arg(long, env = "KRATIX_DRY_RUN")]
    dry_run: bool,
}

/// Say in the request's status what became of what `commit` delivered
#[derive(Parser)]
#[command(name = "track", version)]
struct Track {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
    /// Whether the request is to be, or to be gone
    #[arg(long, env = "KRATIX_WORKFLOW_ACTION", default_value = "configure")]
    action: Action,
    /// Follow nothing, because nothing was delivered
    #[arg(long, env = "KRATIX_DRY_RUN")]
    dry_run: bool,
}

/// The steps of one Pipeline, one after the other.
#[derive(Parser)]
#[command(version)]
struct Pipeline {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    config: ConfigArgs,
    /// Say what would be done, and do nothing
    #[arg(long, env = "KRATIX_DRY_RUN")]
    dry_run: bool,
}

impl Pipeline {
    fn read(name: &'static str, about: &'static str) -> Self {
        let arguments = Self::command().name(name).about(about).long_about(None).get_matches();
        Self::from_arg_matches(&arguments).unwrap_or_else(|error| error.exit())
    }
}

/// Runs the step or Pipeline of this name, or gives none where there is no such thing.
///
/// # Errors
/// A broken contract with Kratix, and our own bugs: all else is in the status.
pub(super) fn run(name: &str) -> Option<Result<ExitCode>> {
    let lines = match name {
        "render" => render(&Render::parse()),
        "commit" => commit(&Commit::parse()),
        "track" => track(&Track::parse()),
        "claim" => claim(&Pipeline::read("claim", "Render a request, and claim the paths of its files")),
        "deliver" => deliver(&Pipeline::read("deliver", "Deliver the files of a request, and say what became of them")),
        "delete" => delete(&Pipeline::read("delete", "Take away what a request brought about")),
        _ => return None,
    };
    Some(lines.map(|lines| {
        for line in lines {
            println!("{}", super::one_line(&line));
        }
        ExitCode::SUCCESS
    }))
}

fn render(Render { folders, config }: &Render) -> Result<Vec<String>> {
    let config = config.load_as_step();
    Ok(render::run(folders, config.as_ref(), source(config.as_ref()).as_ref(), commit::now()?)?.lines())
}

fn commit(Commit { folders, config, action, dry_run }: &Commit) -> Result<Vec<String>> {
    let task = Task { action: *action, extent: extent(Extent::Whole, *dry_run), with_diff: false };
    Ok(commit::run(folders, config.load_as_step().as_ref(), task, commit::now()?)?.lines(*dry_run))
}

/// Who knows what a request refers to: the API server, or nobody outside of a cluster.
fn source<'c>(config: Loaded<'c>) -> Box<dyn Source + 'c> {
    match ServiceAccount::find(Path::new(SERVICE_ACCOUNT)) {
        Some(account) => Box::new(Cluster { account, config: config.ok() }),
        None => Box::new(Nobody),
    }
}

/// What the API server knows, as far as the account of a Pipeline may ask it.
struct Cluster<'c> {
    account: ServiceAccount,
    config: Option<&'c Config>,
}

impl Source for Cluster<'_> {
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known> {
        let needs: Vec<_> = needs.iter().cloned().collect();
        let known = at_once(8, &needs, |need| anyhow::Ok((need.clone(), self.answer(need)?)))?;
        Ok(Known(known.into_iter().collect()))
    }
}

impl Cluster<'_> {
    fn answer(&self, need: &Need) -> Result<Answer> {
        let (kind, id) = (need.kind(), need.id());
        if let Need::Users { .. } = need {
            let mut users = Vec::new();
            for promise in users_of(kind) {
                self.account.list(&promise.address(), None, None, |item| {
                    let object = read(item)?;
                    users.extend(uses(&object, need).then(|| Arc::new(object)));
                    Ok(())
                })?;
            }
            return Ok(Answer::Found(users));
        }
        let promise = find(kind.as_str()).map_err(|refusal| anyhow!("{}", refusal.message))?;
        let platform = self.config.map(|config| config.platform.namespace.as_str());
        let namespace = platform.filter(|_| promise.is_of_platform);
        let mut found = Vec::new();
        self.account.list(&promise.address(), namespace, Some((promise.id, id)), |item| {
            found.push(Arc::new(read(item)?));
            Ok(())
        })?;
        if !found.is_empty() {
            return Ok(Answer::Found(found));
        }
        let mut ids = BTreeSet::new();
        // There are few of the platform's own.
        if promise.is_of_platform {
            self.account.list(&promise.address(), namespace, None, |item| {
                let object = read(item)?;
                ids.extend(
                    object.at(promise.id).and_then(Node::as_str).filter(|_| has_its_id(&object)).map(str::to_owned),
                );
                Ok(())
            })?;
        }
        Ok(Answer::Absent(Others::of(id, ids.iter().map(String::as_str))))
    }
}

fn read(item: &RawValue) -> Result<Node> {
    document::parse_file(item.get().as_bytes())?.pop().context("an object of a list is empty")
}

const fn extent(extent: Extent, dry_run: bool) -> Extent {
    if dry_run { Extent::DryRun } else { extent }
}

fn track(Track { folders, config, action, dry_run }: &Track) -> Result<Vec<String>> {
    if *dry_run {
        return Ok(track::dry_run(folders)?.lines());
    }
    Ok(track::run(folders, config.load_as_step().as_ref(), *action, commit::now()?)?.lines())
}

/// Renders, and sees to it that nobody else gets what the manifests name.
fn claim(Pipeline { folders, config, dry_run }: &Pipeline) -> Result<Vec<String>> {
    let (config, now) = (config.load_as_step(), commit::now()?);
    let task = Task { action: Action::Configure, extent: extent(Extent::Claim, *dry_run), with_diff: false };
    let rendered = render::run(folders, config.as_ref(), source(config.as_ref()).as_ref(), now)?;
    if folders.is_stopped() {
        return Ok(rendered.lines());
    }
    let committed = commit::run(folders, config.as_ref(), task, now)?;
    Ok([rendered.lines(), committed.lines(*dry_run)].concat())
}

/// Delivers what is for the repositories, and says what became of it.
fn deliver(Pipeline { folders, config, dry_run }: &Pipeline) -> Result<Vec<String>> {
    if *dry_run {
        return Ok(track::dry_run(folders)?.lines());
    }
    let (config, now, action) = (config.load_as_step(), commit::now()?, Action::Configure);
    let task = Task { action, extent: Extent::Whole, with_diff: false };
    let rendered = render::run_for_repositories(folders, config.as_ref(), source(config.as_ref()).as_ref(), now)?;
    if folders.is_stopped() {
        return Ok(rendered.lines());
    }
    // What was rendered is told by the first Pipeline.
    let committed = commit::run(folders, config.as_ref(), task, now)?;
    if folders.is_stopped() {
        return Ok(committed.lines(false));
    }
    let tracked = track::run(folders, config.as_ref(), action, now)?;
    let rolled = match (&config, ServiceAccount::find(Path::new(SERVICE_ACCOUNT))) {
        (Ok(config), Some(account)) => rollout::roll(folders, config, account, now)?,
        _ => Vec::new(),
    };
    Ok([committed.lines(false), tracked.lines(), rolled].concat())
}

/// Takes everything away, and holds the request until it is gone.
fn delete(Pipeline { folders, config, dry_run }: &Pipeline) -> Result<Vec<String>> {
    let (config, now, action) = (config.load_as_step(), commit::now()?, Action::Delete);
    let held = held_by(&folders.read_object()?, source(config.as_ref()).as_ref(), &BTreeSet::new());
    if let Some(why) = held {
        let why = format!("it {why}: it goes once they are deleted, or name it no more");
        if !dry_run {
            commit::hold(folders, &why, now)?;
        }
        return Ok(vec![format!("later: {why}")]);
    }
    let task = Task { action, extent: extent(Extent::Whole, *dry_run), with_diff: false };
    let committed = commit::run(folders, config.as_ref(), task, now)?;
    if folders.is_stopped() {
        return Ok(committed.lines(*dry_run));
    }
    let tracked = match dry_run {
        true => track::dry_run(folders)?,
        false => track::run(folders, config.as_ref(), action, now)?,
    };
    Ok([committed.lines(*dry_run), tracked.lines()].concat())
}
