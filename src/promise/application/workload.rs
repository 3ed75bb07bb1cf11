//! What a component becomes in a cluster: its Pod, what runs it, and how it is reached.

use super::container::{External, OwnContainer, files_of, volumes_of};
use super::place::{Placed, Site};
use super::render::put;
use super::request::{ComponentType, Container};
use super::route::Route;
use crate::api::Choice;
use crate::known::Stop;
use crate::object_template::{self, ObjectTemplateError};
use crate::scalars::IntOrPercent;
use minijinja::context;
use minijinja::value::Serde;
use serde_json::{Value, json};

const POD: (&str, &str) = ("pod", include_str!("../../../manifests/application/pod.yaml.j2"));
const SERVICE: (&str, &str) = ("service", include_str!("../../../manifests/application/service.yaml.j2"));
const SUPPORT: (&str, &str) = ("support", include_str!("../../../manifests/application/support.yaml.j2"));
const DEPLOYMENT: (&str, &str) = ("deployment", include_str!("../../../manifests/application/deployment.yaml.j2"));
const CRON: (&str, &str) = ("cron", include_str!("../../../manifests/application/cron.yaml.j2"));

/// What a component of a type becomes, in this order.
const fn templates_of(r#type: ComponentType) -> [(&'static str, &'static str); 3] {
    match r#type {
        ComponentType::Webapp | ComponentType::Worker => [DEPLOYMENT, SERVICE, SUPPORT],
        ComponentType::Cron => [CRON, SERVICE, SUPPORT],
    }
}

/// The label by which the Pods of a component are known, which never changes.
const COMPONENT: &str = "goldpath.dev/component";

/// The one object that a template prints.
pub(super) fn fill_one((name, source): (&str, &str), context: &minijinja::Value) -> Result<Value, ObjectTemplateError> {
    Ok(object_template::render(name, source, context)?.into_iter().next().unwrap_or_default())
}

/// What templates see of it, with what is printed by itself.
pub(super) struct Context {
    values: Value,
    init_containers: Vec<Value>,
    containers: Vec<Value>,
}

/// All objects of a component, with its labels and annotations.
pub(super) fn component_objects(placed: &Placed, context: Context) -> Result<Vec<Value>, Stop> {
    let Context { values, init_containers, containers } = context;
    let values = minijinja::Value::from(Serde(&values));
    let each = |all: Vec<Value>| -> minijinja::Value { all.into_iter().map(object_template::whole).collect() };
    let (containers, init_containers) = (each(containers), each(init_containers));
    let pod = fill_one(POD, &context! { containers, init_containers, ..values.clone() })?;
    let context = context! { pod => object_template::whole(pod), ..values };
    let mut objects = Vec::new();
    for (name, source) in templates_of(placed.r#type) {
        objects.extend(object_template::render(name, source, &context)?);
    }
    let component = &placed.component;
    for object in &mut objects {
        let metadata = &mut object["metadata"];
        let labels = component.labels.iter().flat_map(|labels| &labels.0);
        let own = [(COMPONENT.to_owned(), Value::from(component.name.as_str()))];
        let text = |(key, value): (&String, &String)| (key.clone(), Value::from(value.as_str()));
        put(metadata, "labels", labels.map(text).chain(own));
        let annotations = component.annotations.iter().flat_map(|annotations| &annotations.0);
        put(metadata, "annotations", annotations.map(text));
    }
    Ok(objects)
}

/// What the templates see of a component.
pub(super) fn component_context(
    placed: &Placed,
    site: &Site<'_>,
    routes: &[Route],
) -> Result<Context, ObjectTemplateError> {
    let environment = site.environment;
    let component = &placed.component;
    let name = component.name.as_str();
    let security = component.security.as_ref();
    let said = |of: Option<bool>| of == Some(true);
    let capabilities = security.and_then(|s| s.capabilities.clone()).unwrap_or_default();
    let security_context = json!({
        "as_root": said(security.and_then(|s| s.run_as_root)),
        "user": security.and_then(|s| s.run_as_user),
        "writable": said(security.and_then(|s| s.writable_root_filesystem)),
        "capabilities": capabilities,
        "token": said(security.and_then(|s| s.service_account_token)),
    });
    let mut labels = component.labels.clone().unwrap_or_default().0;
    labels.insert(COMPONENT.to_owned(), name.to_owned());
    let mut annotations = component.annotations.clone().unwrap_or_default().0;
    if let Some(metrics) = &component.metrics {
        annotations.insert("prometheus.io/scrape".to_owned(), "true".to_owned());
        let port = metrics.port.map(|port| port.to_string()).unwrap_or_default();
        annotations.insert("prometheus.io/port".to_owned(), port);
        let path = metrics.path.as_ref().map_or("/metrics", |path| path.as_str());
        annotations.insert("prometheus.io/path".to_owned(), path.to_owned());
    }
    let external = External::of(placed, environment);
    let files = files_of(placed);
    let (volumes, mounts) = volumes_of(placed, files.as_ref());
    let own = OwnContainer { placed, site, mounts: &mounts, security: &security_context };
    let [first, beside] = &placed.others;
    let container_of = |(container, image): &(Container, String)| own.other(container, image);
    let containers =
        std::iter::once(own.main()).chain(beside.iter().map(container_of)).collect::<Result<Vec<_>, _>>()?;
    let update = component.update.as_ref();
    let ports: Vec<_> = placed
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name, "port": port.port, "target": port.target, "transport": port.transport(),
                "protocol": port.protocol.as_str(),
            })
        })
        .collect();
    let account = component.service_account.as_ref();
    let init_containers = first.iter().map(container_of).collect::<Result<Vec<_>, _>>()?;
    let values = json!({
        "component": {
            "name": name,
            "type": placed.r#type.as_str(),
            "labels": labels,
            "pod_annotations": annotations,
            "selector": {COMPONENT: name},
            "replicas": placed.least,
            "service_account": if account.is_some() { name } else { "default" },
            "grace": component.termination_grace_period_seconds,
            "pull_secrets": component.image_pull_secrets,
            "spread": placed.r#type != ComponentType::Cron && component.spread != Some(false),
        },
        "workloads": !environment.settings.disables_workloads(),
        "settings": environment.settings.0,
        "security": security_context,
        "volumes": volumes,
        "ports": ports,
        "routes": routes,
        "metrics": component.metrics.as_ref().map(|metrics| json!({"port": metrics.port})),
        "monitoring": environment.network.monitoring,
        "autoscaling": component.autoscaling.as_ref().map(|scaling| {
            let percent = |name: &str, percent: Option<i64>| percent.map(|percent| json!({"name": name, "percent": percent}));
            let (cpu, memory) = (scaling.cpu.map(|cpu| cpu.get()), scaling.memory.map(|memory| memory.get()));
            let cpu = cpu.or(memory.is_none().then_some(80));
            let metrics: Vec<_> = [percent("cpu", cpu), percent("memory", memory)].into_iter().flatten().collect();
            json!({"min": placed.least, "max": placed.most, "metrics": metrics})
        }),
        "update": {
            "max_surge": update.and_then(|update| update.max_surge).unwrap_or(IntOrPercent::Percent(25)),
            "max_unavailable": update.and_then(|update| update.max_unavailable).unwrap_or(IntOrPercent::Number(0)),
        },
        "budget": placed.has_budget.then(|| budget_of(placed)),
        "cron": (placed.r#type == ComponentType::Cron).then(|| cron_of(placed)),
        "files": files,
        "external": external,
        "account": account.map(|account| json!({"annotations": account.annotations.clone().unwrap_or_default()})),
    });
    Ok(Context { values, init_containers, containers })
}

fn budget_of(placed: &Placed) -> Value {
    let disruption = placed.component.disruption.as_ref();
    let most = disruption.and_then(|disruption| disruption.max_unavailable);
    json!({
        "max_unavailable": most.unwrap_or(IntOrPercent::Number(1)),
        "min_available": disruption.and_then(|disruption| disruption.min_available),
    })
}

fn cron_of(placed: &Placed) -> Value {
    let component = &placed.component;
    let history = component.history.as_ref();
    json!({
        "schedule": component.schedule,
        "time_zone": component.time_zone,
        "concurrency_policy": component.concurrency_policy.map_or("Forbid", |policy| policy.as_str()),
        "suspend": component.suspend == Some(true),
        "starting_deadline": component.starting_deadline_seconds,
        "active_deadline": component.active_deadline_seconds,
        "backoff_limit": component.backoff_limit.map_or(2, |limit| limit.get()),
        "ttl": component.ttl_seconds_after_finished,
        "succeeded": history.and_then(|history| history.succeeded).map_or(3, |count| count.get()),
        "failed": history.and_then(|history| history.failed).map_or(1, |count| count.get()),
    })
}
