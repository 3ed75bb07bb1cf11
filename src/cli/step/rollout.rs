//! Brings a change of what others refer to to those that do, in waves: [`crate::waves`] says which come next.
//!
//! Each is rendered here with what is true now, before it is touched: so it is known which come out the same, which change, and
//! which would be wrong.

use super::{Cluster, read};
use crate::cluster::ServiceAccount;
use crate::config::Config;
use crate::document::Node;
use crate::generate_with;
use crate::known::{Answer, Known, Need, Source};
use crate::kratix::Folders;
use crate::outputs::Unrendered;
use crate::promise::{self, ACCEPTED, digest_of, find, need_of, users_of, uses};
use crate::request::Identity;
use crate::status::{DELIVERING, Status};
use crate::text::count;
use crate::violation::Violation;
use crate::waves::{User, plan};
use anyhow::{Context, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// By this label Kratix runs the Pipelines of a request again.
const MANUAL: &str = "kratix.io/manual-reconciliation";
/// When it was last asked to: Kratix takes the label off before its status says that they run, a second later and more.
const ASKED: &str = "goldpath.dev/asked";
const ASKED_FOR: SignedDuration = SignedDuration::from_secs(30);
const PAUSED: &str = "kratix.io/paused";
const SUSPENDED: &str = "kratix.io/workflow-suspended";

/// Has those run that come next, says in the status how far it is, and asks to be run again until nobody is left; and then, if
/// it would be rendered to something else now that they have what is true, from the start.
///
/// # Errors
/// A broken contract: no request, a status that cannot be written.
pub(super) fn roll(folders: &Folders, config: &Config, account: ServiceAccount, now: Timestamp) -> Result<Vec<String>> {
    let object = folders.read_object()?;
    let used = promise::of(&object).filter(|promise| !promise.used_by.is_empty());
    let Some((need, promise)) = need_of(&object).zip(used) else { return Ok(Vec::new()) };
    let (batch, pause) = (promise.pace)(object.get("spec").unwrap_or(&object));
    let mut status = folders.read_status()?;
    let cluster = Cluster { account, config: Some(config) };
    match look(&object, &need, &cluster, config, now) {
        Ok(users) => {
            let wave = plan(&users, batch);
            let mut next = wave.next.clone();
            if wave.is_over && is_rendered_otherwise(&object, &status, &cluster, config)? {
                next.push(promise::read(&object).map_err(|_| anyhow!("the request has no identity"))?.identity);
            }
            let failed = ask(&next, &cluster.account, now).err();
            let progress = wave.progress;
            status.extra.insert("applications".to_owned(), serde_json::to_value(&progress)?);
            let said = progress.summary();
            if let Some(said) = &said {
                status.message = format!("{}; {said}", status.message);
            }
            if let Some(error) = &failed {
                status.message = format!("{}; cannot ask one to run: {error:#}", status.message);
            }
            folders.write_status(&status)?;
            if !wave.is_over || failed.is_some() {
                folders.write_retry(Duration::from_secs(pause), &status.message)?;
            }
            let asked = format!("asked {} to run", count(wave.next.len(), "request"));
            Ok(said.into_iter().chain((!wave.next.is_empty()).then_some(asked)).collect())
        }
        Err(error) => {
            let why = format!("cannot look for those that refer to it: {error:#}");
            status.message = format!("{}; {why}", status.message);
            folders.write_status(&status)?;
            folders.write_retry(Duration::from_secs(pause), &status.message)?;
            Ok(vec![why])
        }
    }
}

/// Whether what those who refer to a request have now changes what it is rendered to.
fn is_rendered_otherwise(object: &Node, status: &Status, cluster: &Cluster<'_>, config: &Config) -> Result<bool> {
    match generate_with(object, config, cluster) {
        // Its spec is no news of others: one that came back in another form must not have it run for ever.
        Ok((_, outputs)) => {
            Ok(outputs.status.iter().any(|(key, value)| key != ACCEPTED && status.extra.get(key) != Some(value)))
        }
        // The next run says so.
        Err(Unrendered::Wrong(_) | Unrendered::Unknown(_)) => Ok(false),
        Err(Unrendered::Broken(error)) => Err(error),
    }
}

/// All that refer to a request, and how each is with what is true of it now: one after the other, so that no more than one is
/// held.
fn look(object: &Node, need: &Need, cluster: &Cluster<'_>, config: &Config, now: Timestamp) -> Result<Vec<User>> {
    let own = Need::Request { kind: need.kind().clone(), id: need.id().to_owned() };
    let found = Answer::Found(vec![Arc::new(object.clone())]);
    let source = Remembered { source: cluster, known: RefCell::new(BTreeMap::from([(own.clone(), found)])) };
    let reference = format!("{} {}", own.kind(), own.id());
    let digest = digest_of(object, config);
    let mut users = Vec::new();
    for promise in users_of(own.kind()) {
        cluster.account.list(&promise.address(), None, None, |item| {
            let user = read(item)?;
            if uses(&user, &own)
                && let Ok(request) = promise::read(&user)
            {
                users.push(judge(&user, request.identity, &reference, &digest, &source, config, now)?);
            }
            Ok(())
        })?;
    }
    Ok(users)
}

fn judge(
    user: &Node,
    request: Identity,
    reference: &str,
    digest: &str,
    source: &dyn Source,
    config: &Config,
    now: Timestamp,
) -> Result<User> {
    let status = Status::of_object(user.get("status"));
    let label = |key: &str| user.at("metadata.labels").and_then(|labels| labels.get(key)).and_then(Node::as_str);
    let run = last_run(user);
    let asked = user.at("metadata.annotations").and_then(|annotations| annotations.get(ASKED)?.as_str()?.parse().ok());
    let is_just_asked = asked.is_some_and(|asked: Timestamp| now.duration_since(asked) < ASKED_FOR);
    let is_refused = status.conditions.iter().find(|condition| condition.r#type == "Delivered");
    let is_refused = is_refused.filter(|condition| condition.status == "False" && condition.reason != DELIVERING);
    let mut judged = User {
        request,
        is_current: status.extra.get("references").is_some_and(|known| known[reference] == digest),
        stays: false,
        is_at_work: label(MANUAL) == Some("true") || run == Run::Going && label(SUSPENDED) != Some("true"),
        is_held: label(PAUSED) == Some("true") || user.at("metadata.deletionTimestamp").is_some(),
        fault: is_refused.filter(|condition| condition.reason == "RequestWrong").map(|c| c.message.clone()),
    };
    judged.is_at_work |= is_just_asked && !judged.is_current;
    if judged.is_current && run == Run::Failed {
        judged.fault = Some("its Pipelines have failed: see its Jobs".to_owned());
    }
    if !judged.is_current && judged.fault.is_none() {
        match generate_with(user, config, source) {
            Ok((_, outputs)) => judged.stays = outputs.status.get("rendered") == status.extra.get("rendered"),
            Err(Unrendered::Wrong(faults)) => judged.fault = faults.first().map(Violation::sentence),
            Err(Unrendered::Broken(error) | Unrendered::Unknown(error)) => {
                return Err(error).with_context(|| format!("cannot render {}", judged.request));
            }
        }
    }
    Ok(judged)
}

/// How the last run of a request's Pipelines is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It goes on, or Kratix is about to begin it.
    Going,
    Ended,
    Failed,
}

/// What Kratix says of the last run.
fn last_run(user: &Node) -> Run {
    let conditions = user.at("status.conditions").map_or(&[][..], Node::items);
    let text = |condition: &Node, name: &str| condition.get(name).and_then(Node::as_str).map(str::to_owned);
    let completed = conditions.iter().find(|it| text(it, "type").as_deref() == Some("ConfigureWorkflowCompleted"));
    match completed.map(|it| (text(it, "status"), text(it, "reason"))) {
        Some((Some(status), _)) if status == "True" => Run::Ended,
        Some((_, Some(reason))) if reason == "ConfigureWorkflowFailed" => Run::Failed,
        _ => Run::Going,
    }
}

fn ask(next: &[Identity], account: &ServiceAccount, now: Timestamp) -> Result<()> {
    let mark = json!({"labels": {MANUAL: "true"}, "annotations": {ASKED: now.to_string()}});
    next.iter().try_for_each(|request| {
        let promise = find(request.kind.as_str()).map_err(|refusal| anyhow!("{}", refusal.message))?;
        account.mark(&promise.address(), request.namespace.as_str(), request.name.as_str(), &mark)
    })
}

/// Who asks once for what many refer to.
struct Remembered<'s> {
    source: &'s dyn Source,
    known: RefCell<BTreeMap<Need, Answer>>,
}

impl Source for Remembered<'_> {
    fn look(&self, needs: &BTreeSet<Need>) -> Result<Known> {
        let unknown: BTreeSet<_> =
            needs.iter().filter(|need| !self.known.borrow().contains_key(need)).cloned().collect();
        if !unknown.is_empty() {
            self.known.borrow_mut().extend(self.source.look(&unknown)?.0);
        }
        let known = self.known.borrow();
        Ok(Known(needs.iter().filter_map(|need| Some((need.clone(), known.get(need)?.clone()))).collect()))
    }
}
