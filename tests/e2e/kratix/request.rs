//! The life of a request: its configure Pipelines in order, again when it or its Promise changes or when a Pipeline
//! has asked for it, and its delete Pipeline before anything of it goes.

use super::job::{self, Files, Run};
use super::promise::{Api, FROM_START};
use super::status::{self, Control};
use super::store::Stores;
use super::{Cluster, DRY_RUN, PIPELINE, PROMISE, RESOURCE, World, has_labels, label, named, text, work};
use anyhow::{Context, Result};
use serde_json::{Value, json};

const MANUAL: &str = "kratix.io/manual-reconciliation";
const SUSPENDED: &str = "kratix.io/workflow-suspended";
const FINALIZERS: [&str; 4] = [
    "kratix.io/work-cleanup",
    "kratix.io/workflows-cleanup",
    "kratix.io/delete-workflows",
    "kratix.io/resource-binding-cleanup",
];
const RUN_DELETE: &str = FINALIZERS[2];

struct Request<'a> {
    cluster: &'a Cluster,
    api: Api<'a>,
    world: &'a World,
    object: Value,
    path: String,
}

/// Takes a request one step further.
pub(super) fn reconcile(
    cluster: &Cluster,
    stores: &mut Stores,
    world: &World,
    promise: &Value,
    object: Value,
) -> Result<()> {
    let api = Api { promise };
    let path = format!("{}/{}", api.path(text(&object, "/metadata/namespace")), text(&object, "/metadata/name"));
    let request = Request { cluster, api, world, object, path };
    if label(&request.object, PROMISE) != request.api.name() {
        return request.patch(&json!({"labels": {PROMISE: request.api.name()}}));
    }
    if !text(&request.object, "/metadata/deletionTimestamp").is_empty() {
        return request.delete(stores);
    }
    if !FINALIZERS.iter().all(|it| request.has_finalizer(it)) {
        let ours = request.object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let all: Vec<_> = ours.filter(|it| !FINALIZERS.contains(it)).chain(FINALIZERS).collect();
        return request.patch(&json!({"finalizers": all}));
    }
    if !text(promise, "/metadata/deletionTimestamp").is_empty() {
        return Ok(());
    }
    request.configure(stores)
}

impl Request<'_> {
    /// Changes metadata.
    fn patch(&self, metadata: &Value) -> Result<()> {
        self.cluster.call("MERGE", &self.path, &json!({"metadata": metadata})).map(drop)
    }

    fn has_finalizer(&self, finalizer: &str) -> bool {
        self.object["metadata"]["finalizers"].as_array().is_some_and(|them| them.contains(&json!(finalizer)))
    }

    fn is(&self, key: &str) -> bool {
        label(&self.object, key) == "true"
    }

    fn jobs(&self, action: &str) -> Vec<&Value> {
        job::of(&self.world.jobs, self.api.name(), &self.object, action)
    }

    fn configure(&self, stores: &mut Stores) -> Result<()> {
        let pipelines = self.api.pipelines("configure");
        let names: Vec<_> = pipelines.iter().map(|it| text(it, "/metadata/name")).collect();
        if names.is_empty() {
            return Ok(());
        }
        let jobs = self.jobs("configure");
        let recent = jobs.first().copied();
        if let Some(job) = recent.filter(|it| job::is_to_be_collected(it)) {
            return self.collect(job);
        }
        if !status::lists(&self.object, &names) {
            let mut object = self.object.clone();
            status::reset(&mut object, &names);
            object["status"]["workflows"] = json!(names.len());
            return self.cluster.write_status(&self.path, &object).map(drop);
        }
        if self.is(SUSPENDED) {
            return self.wait();
        }
        let restart = self.is(MANUAL) || self.is(FROM_START);
        if let Some(job) = recent.filter(|it| job::is_running(it)) {
            return if self.is(MANUAL) {
                job::suspend(self.cluster, job)
            } else {
                job::heal(self.cluster, job, &self.object)
            };
        }
        let hash = job::hash(&self.api, &self.object);
        let current = recent.filter(|it| label(it, "kratix.io/hash") == hash);
        let index = match current {
            _ if restart => 0,
            Some(job) if job::has_failed(job) => return self.fail(job),
            Some(_) => match status::next_pipeline(&self.object) {
                Some(index) => index,
                None => return self.settle(stores, &jobs, &names),
            },
            None if status::suspension(&self.object).is_some() => status::next_pipeline(&self.object).unwrap_or(0),
            None => 0,
        };
        let mut object = self.object.clone();
        if index == 0 && status::suspension(&object).is_none() || restart {
            status::reset(&mut object, &names);
            object["status"]["workflowsFailed"] = json!(0);
        }
        object["status"]["workflowsSucceeded"] = json!(index);
        object["status"]["message"] = json!("Pending");
        status::set_phase(&mut object, names[index], "Running");
        let kind = "ConfigureWorkflowCompleted";
        status::set_condition(&mut object, kind, "False", "PipelinesInProgress", "Pipelines are still in progress");
        status::set_condition(&mut object, "Reconciled", "Unknown", "WorkflowPending", "Pending");
        self.start(&object, pipelines[index], "configure", index + 1 == names.len(), restart)
    }

    /// Writes the status of a run that begins, makes its Job, and removes what has asked for it: should we end in
    /// between, it begins again.
    fn start(&self, object: &Value, pipeline: &Value, action: &str, last: bool, asked: bool) -> Result<()> {
        let request = self.cluster.write_status(&self.path, object)?;
        let seen = super::dry_run::seen(self.cluster, &self.api, &request)?;
        job::create(self.cluster, &Run { api: &self.api, pipeline, action, last, request: &request, seen: &seen })?;
        if asked { self.patch(&json!({"labels": {MANUAL: null, FROM_START: null}})) } else { Ok(()) }
    }

    /// While it is suspended: until it is time, or until somebody asks for it.
    fn wait(&self) -> Result<()> {
        if self.is(MANUAL) || status::changed_since_suspension(&self.object) {
            return self.patch(&json!({"labels": {SUSPENDED: null, FROM_START: "true"}}));
        }
        if status::suspension(&self.object).flatten().is_some_and(|time| time <= jiff::Timestamp::now()) {
            return self.patch(&json!({"labels": {SUSPENDED: null}}));
        }
        let mut object = self.object.clone();
        let mut changed = status::set_condition(&mut object, "Reconciled", "Unknown", "WorkflowSuspended", "Suspended");
        if !text(&object, "/metadata/deletionTimestamp").is_empty() {
            let message = "The delete workflow is suspended";
            let kind = "DeleteWorkflowCompleted";
            changed |= status::set_condition(&mut object, kind, "False", "DeleteWorkflowSuspended", message);
        }
        self.write_if(changed, &object)
    }

    fn write_if(&self, changed: bool, object: &Value) -> Result<()> {
        if changed { self.cluster.write_status(&self.path, object).map(drop) } else { Ok(()) }
    }

    /// Does what Kratix's containers would have done in the Pod: the Work, then the status.
    fn collect(&self, job: &Value) -> Result<()> {
        let action = label(job, "kratix.io/workflow-action");
        let Some(files) = job::printed(self.cluster, job, action == "configure")? else {
            self.cluster.say(&format!("{} has no Pod any more: it is run again", named("job", job)));
            return self.cluster.delete(&job::path(job), job);
        };
        // Suspended for this Job already: we ended before we could mark it.
        if !(self.is(SUSPENDED) && status::suspension(&self.object).is_some())
            && let Err(refusal) = self.take(job, action, &files)?
        {
            self.cluster.say(&format!("{}: {refusal:#}", named("job", job)));
            return job::set_collected(self.cluster, job, "refused");
        }
        job::set_collected(self.cluster, job, "true")
    }

    /// The inner error is what Kratix's containers would fail with.
    fn take(&self, job: &Value, action: &str, files: &Files) -> Result<Result<()>> {
        let file = |name: &str| files.get(&format!("metadata/{name}")).map(|it| String::from_utf8_lossy(it));
        let control = match file("workflow-control.yaml").map(|it| Control::parse(&it)).transpose() {
            Ok(control) => control.unwrap_or_default(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let pipeline = label(job, PIPELINE);
        if action == "configure" && !control.stops() {
            let selectors = file("destination-selectors.yaml");
            let groups = match work::groups(files, selectors.as_deref(), self.api.promise) {
                Ok(groups) => groups,
                Err(refusal) => return Ok(Err(refusal)),
            };
            work::write(self.cluster, self.world, &self.object, self.api.name(), pipeline, groups)?;
        }
        if control.stops() {
            self.patch(&json!({"labels": {SUSPENDED: "true"}}))?;
        }
        let mut object = self.cluster.get(&self.path)?.context("the request is gone")?;
        let last = job::was_last(job) && action == "configure";
        let incoming = file("status.yaml").unwrap_or_default();
        if let Err(refusal) = status::merge(&mut object, &incoming, &control, pipeline, last) {
            return Ok(Err(refusal));
        }
        if !control.stops() {
            status::set_phase(&mut object, pipeline, "Succeeded");
            let succeeded = status::next_pipeline(&object).unwrap_or(self.api.pipelines(action).len());
            object["status"]["workflowsSucceeded"] = json!(succeeded);
        }
        if label(&object, DRY_RUN) == "true" {
            object["status"]["message"] = json!("Dry run executed");
        }
        self.cluster.write_status(&self.path, &object).map(|_| Ok(()))
    }

    fn fail(&self, job: &Value) -> Result<()> {
        let mut object = self.object.clone();
        let (pipeline, reason) = (label(job, PIPELINE), "ConfigureWorkflowFailed");
        let message = format!("A Configure Pipeline has failed: {pipeline}");
        let mut changed = status::set_condition(&mut object, "ConfigureWorkflowCompleted", "False", reason, &message);
        changed |= status::set_condition(&mut object, "Reconciled", "False", reason, "Failing");
        changed |= status::set_phase(&mut object, pipeline, "Failed");
        object["status"]["workflowsFailed"] = json!(1);
        self.write_if(changed, &object)
    }

    /// When all Pipelines have succeeded: what became of the Works.
    fn settle(&self, stores: &mut Stores, jobs: &[&Value], pipelines: &[&str]) -> Result<()> {
        let works = work::of(self.world, self.api.name(), &self.object);
        let mut object = self.object.clone();
        let state = |work: &&Value| status::condition(work, "Ready", "message").to_owned();
        let (status, reason, message) = if works.iter().any(|it| state(it) == "Failing") {
            ("False", "WorksFailing", "Some works associated with this resource failed")
        } else if works.iter().any(|it| state(it) == "Misplaced") {
            ("False", "WorksMisplaced", "Some works associated with this resource are misplaced")
        } else if works.iter().any(|it| state(it) != "Ready") {
            ("Unknown", "WorksPending", "Some works associated with this resource are not ready")
        } else {
            ("True", "WorksSucceeded", "All works associated with this resource are ready")
        };
        let mut changed = status::set_condition(&mut object, "WorksSucceeded", status, reason, message);
        let dry = label(&object, DRY_RUN) == "true";
        let (reason, message) = match status {
            "True" if dry => ("DryRunSucceeded", "Dry run completed"),
            "True" => ("Reconciled", "Reconciled"),
            "False" => ("WorksFailing", "Failing"),
            _ => ("WorksPending", "Pending"),
        };
        changed |= status::set_condition(&mut object, "Reconciled", status, reason, message);
        let completed = status::condition(&object, "ConfigureWorkflowCompleted", "lastTransitionTime").to_owned();
        let version = self.api.promise["status"]["version"].clone();
        let now = [
            ("observedGeneration", object["metadata"]["generation"].clone()),
            ("lastSuccessfulConfigureWorkflowTime", json!(completed)),
            ("promiseVersion", version),
            ("resourceBindingVersion", json!("latest")),
        ];
        for (key, value) in now {
            changed |= object["status"][key] != value;
            object["status"][key] = value;
        }
        object["status"]["kratix"]["workflows"]["lastSuccessfulConfigureWorkflowTime"] = json!(completed);
        if changed {
            return self.cluster.write_status(&self.path, &object).map(drop);
        }
        for old in works.iter().filter(|it| !pipelines.contains(&label(it, PIPELINE)) && !work::is_summary(it)) {
            self.cluster.say(&format!("{} is of a Pipeline that is no more", named("work", old)));
            work::remove(self.cluster, stores, self.world, old)?;
        }
        job::prune(self.cluster, jobs)
    }

    fn delete(&self, stores: &mut Stores) -> Result<()> {
        if self.has_finalizer(RUN_DELETE) && !self.has_run_delete()? {
            return Ok(());
        }
        for work in work::of(self.world, self.api.name(), &self.object) {
            work::remove(self.cluster, stores, self.world, work)?;
        }
        // Of namesakes in other namespaces too, as Kratix does: those run again.
        let labels = [(PROMISE, self.api.name()), (RESOURCE, text(&self.object, "/metadata/name"))];
        for job in self.world.jobs.iter().filter(|it| has_labels(it, &labels)) {
            self.cluster.delete(&job::path(job), job)?;
        }
        let finalizers =
            self.object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let foreign: Vec<_> = finalizers.filter(|it| !it.starts_with("kratix.io/")).collect();
        self.cluster.say(&format!("request {} is released", self.path));
        self.patch(&json!({"finalizers": foreign}))
    }

    /// Runs the delete Pipeline, unless it has succeeded.
    fn has_run_delete(&self) -> Result<bool> {
        let Some(pipeline) = self.api.pipelines("delete").first().copied() else { return Ok(true) };
        let name = text(pipeline, "/metadata/name");
        if let Some(job) =
            self.jobs("configure").first().filter(|it| job::is_running(it) || job::is_to_be_collected(it))
        {
            return if job::is_running(job) { Ok(false) } else { self.collect(job).map(|()| false) };
        }
        let hash = job::hash(&self.api, &self.object);
        let recent = self.jobs("delete").into_iter().find(|it| label(it, "kratix.io/hash") == hash);
        if let Some(job) = recent.filter(|it| job::is_to_be_collected(it)) {
            return self.collect(job).map(|()| false);
        }
        if self.is(SUSPENDED) {
            return self.wait().map(|()| false);
        }
        let asked = self.is(MANUAL) || self.is(FROM_START);
        match recent {
            Some(job) if job::is_running(job) && self.is(MANUAL) => {
                return job::suspend(self.cluster, job).map(|()| false);
            }
            Some(job) if job::is_running(job) => {
                return job::heal(self.cluster, job, &self.object).map(|()| false);
            }
            Some(job) if job::has_failed(job) && !asked => {
                let mut object = self.object.clone();
                let (reason, message) = ("DeleteWorkflowFailed", "The Delete Pipeline has failed");
                let kind = "DeleteWorkflowCompleted";
                let changed = status::set_condition(&mut object, kind, "False", reason, message);
                return self.write_if(changed, &object).map(|()| false);
            }
            Some(_)
                if !asked && status::lists(&self.object, &[name]) && status::next_pipeline(&self.object).is_none() =>
            {
                return self.patch(&json!({"finalizers": self.without_run_delete()})).map(|()| false);
            }
            _ => {}
        }
        let mut object = self.object.clone();
        if !status::lists(&object, &[name]) || status::suspension(&object).is_none() || asked {
            status::reset(&mut object, &[name]);
        }
        status::set_phase(&mut object, name, "Running");
        self.start(&object, pipeline, "delete", true, asked).map(|()| false)
    }

    fn without_run_delete(&self) -> Vec<&str> {
        let finalizers =
            self.object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        finalizers.filter(|it| *it != RUN_DELETE).collect()
    }
}
