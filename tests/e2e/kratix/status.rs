//! How Kratix changes a request's status: what its `status-writer` merges from a Pipeline's files, and what its
//! controller adds. Nothing here speaks to the cluster.

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Of a Pipeline, in `status.kratix.workflows.pipelines`.
pub const SUSPENDED: &str = "Suspended";
const SUCCEEDED: &str = "Succeeded";

/// Now, as Kubernetes writes times: whole seconds.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sets a condition in a list, which stays as it is if it says so already; tells whether it has changed.
pub fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str) -> bool {
    let new =
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()});
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let conditions = conditions.as_array_mut().expect("a list");
    match conditions.iter_mut().find(|it| it["type"] == kind) {
        Some(old) if ["status", "reason", "message"].iter().all(|key| old[*key] == new[*key]) => false,
        Some(old) => {
            *old = new;
            true
        }
        None => {
            conditions.push(new);
            true
        }
    }
}

/// Notes in a condition which generation it is about.
pub fn set_observed(object: &mut Value, kind: &str) {
    let generation = object["metadata"]["generation"].clone();
    let conditions = object["status"]["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions.filter(|it| it["type"] == kind) {
        condition["observedGeneration"] = generation.clone();
    }
}

/// Whether a condition is True, and about the object as it is now.
pub fn is_true_now(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let now = &object["metadata"]["generation"];
    conditions.iter().any(|it| it["type"] == kind && it["status"] == "True" && it["observedGeneration"] == *now)
}

/// A condition's field; empty if there is no such condition.
pub fn condition<'a>(object: &'a Value, kind: &str, field: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|it| it["type"] == kind).and_then(|it| it[field].as_str()).unwrap_or_default()
}

fn pipelines(object: &Value) -> &[Value] {
    object["status"]["kratix"]["workflows"]["pipelines"].as_array().map_or(&[], Vec::as_slice)
}

fn pipeline_mut<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let pipelines = object.pointer_mut("/status/kratix/workflows/pipelines")?.as_array_mut()?;
    pipelines.iter_mut().find(|it| it["name"] == name)?.as_object_mut()
}

/// Whether the status lists these Pipelines.
pub fn lists(object: &Value, names: &[&str]) -> bool {
    pipelines(object).iter().map(|it| it["name"].as_str().unwrap_or_default()).eq(names.iter().copied())
}

/// Lists these Pipelines as Pending.
pub fn reset(object: &mut Value, names: &[&str]) {
    let pending = |name: &&str| json!({"name": name, "phase": "Pending", "lastTransitionTime": now()});
    if object["status"]["kratix"]["workflows"].is_null() {
        object["status"]["kratix"]["workflows"] = json!({});
    }
    let workflows = object["status"]["kratix"]["workflows"].as_object_mut().expect("an object");
    workflows.remove("suspendedGeneration");
    workflows.insert("pipelines".to_owned(), names.iter().map(pending).collect());
}

/// The first Pipeline that has not succeeded.
pub fn next_pipeline(object: &Value) -> Option<usize> {
    pipelines(object).iter().position(|it| it["phase"] != SUCCEEDED)
}

/// Whether a Pipeline is suspended, and when it is to run again.
pub fn suspension(object: &Value) -> Option<Option<Timestamp>> {
    let suspended = pipelines(object).iter().find(|it| it["phase"] == SUSPENDED)?;
    Some(suspended["nextRetryAt"].as_str().and_then(|time| time.parse().ok()))
}

/// Whether the spec was changed after a Pipeline was suspended.
pub fn changed_since_suspension(object: &Value) -> bool {
    let suspended = object["status"]["kratix"]["workflows"]["suspendedGeneration"].as_i64().unwrap_or_default();
    suspended != 0 && object["metadata"]["generation"].as_i64() > Some(suspended)
}

/// Sets a Pipeline's phase; tells whether it has changed.
pub fn set_phase(object: &mut Value, name: &str, phase: &str) -> bool {
    let Some(pipeline) = pipeline_mut(object, name).filter(|it| it["phase"] != phase) else {
        return false;
    };
    if pipeline["phase"] == SUSPENDED {
        pipeline.remove("message");
    }
    pipeline.insert("phase".to_owned(), json!(phase));
    pipeline.insert("lastTransitionTime".to_owned(), json!(now()));
    true
}

/// What `workflow-control.yaml` asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Control {
    suspend: bool,
    retry_after: Option<Duration>,
    message: String,
}

impl Control {
    /// Of the file's text.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_yaml::from_str(text).context("`workflow-control.yaml` is no YAML")?;
        let retry_after = match value["retryAfter"].as_str().unwrap_or_default() {
            "" => None,
            duration => Some(parse_duration(duration)?),
        };
        let message = value["message"].as_str().unwrap_or_default().to_owned();
        Ok(Self { suspend: value["suspend"] == true, retry_after, message })
    }

    /// Whether nothing is to be delivered, and no further Pipeline to run.
    pub fn stops(&self) -> bool {
        self.suspend || self.retry_after.is_some()
    }
}

/// A duration as Go writes it: `1m30s`, `250ms`.
fn parse_duration(text: &str) -> Result<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.').context("a duration has a unit")?;
        let number: f64 = rest[..digits].parse().with_context(|| format!("`{text}` is no duration"))?;
        rest = &rest[digits..];
        let units = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let Some((unit, factor)) = units.iter().find(|(unit, _)| rest.starts_with(unit)) else {
            bail!("`{text}` is no duration");
        };
        rest = &rest[unit.len()..];
        seconds += number * factor;
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// What `status-writer` makes of a status: `status.yaml` is merged at the top level, and `conditions` by type; then
/// the Pipeline is suspended, or done.
pub fn merge(object: &mut Value, incoming: &str, control: &Control, pipeline: &str, last: bool) -> Result<()> {
    let incoming: Value = serde_yaml::from_str(incoming).context("`status.yaml` is no YAML")?;
    let incoming = match incoming {
        Value::Null => Map::new(),
        Value::Object(incoming) => incoming,
        _ => bail!("`status.yaml` is no mapping"),
    };
    ensure!(!incoming.contains_key("kratix"), "`kratix` in `status.yaml` is Kratix's own");
    for (key, value) in incoming {
        let old = &mut object["status"][&key];
        match (old.as_array_mut(), value) {
            (Some(old), Value::Array(new)) if key == "conditions" => {
                old.retain(|old| new.iter().all(|new| new["type"] != old["type"]));
                old.extend(new);
            }
            (_, value) => *old = value,
        }
    }
    if control.stops() {
        suspend(object, control, pipeline);
        return Ok(());
    }
    if let Some(pipeline) = pipeline_mut(object, pipeline) {
        for key in ["message", "attempts", "nextRetryAt"] {
            pipeline.remove(key);
        }
    }
    if last {
        if object["status"]["message"] == "Pending" {
            object["status"]["message"] = json!("Resource requested");
        }
        if let Some(Value::Object(workflows)) = object.pointer_mut("/status/kratix/workflows") {
            workflows.remove("suspendedGeneration");
        }
        let kind = "ConfigureWorkflowCompleted";
        set_condition(object, kind, "True", "PipelinesExecutedSuccessfully", "Pipelines completed");
    }
    Ok(())
}

fn suspend(object: &mut Value, control: &Control, pipeline: &str) {
    let generation = object["metadata"]["generation"].clone();
    let Some(pipeline) = pipeline_mut(object, pipeline) else { return };
    pipeline.insert("phase".to_owned(), json!(SUSPENDED));
    pipeline.remove("message");
    if !control.message.is_empty() {
        pipeline.insert("message".to_owned(), json!(control.message));
    }
    if let Some(delay) = control.retry_after {
        let time = (Timestamp::now() + delay).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let attempts = pipeline.get("attempts").and_then(Value::as_i64).unwrap_or_default() + 1;
        pipeline.insert("nextRetryAt".to_owned(), json!(time));
        pipeline.insert("attempts".to_owned(), json!(attempts));
    } else {
        pipeline.remove("nextRetryAt");
        pipeline.remove("attempts");
    }
    object["status"]["kratix"]["workflows"]["suspendedGeneration"] = generation;
}

/// What must hold of the above, as named checks that need no cluster.
pub const CHECKS: &[(&str, fn())] = &[
    ("status is merged at the top level, conditions by type", || {
        let mut object = json!({"status": {"goldpath": {"a": 1}, "message": "Pending", "conditions": [{"type": "A"}, {"type": "B"}]}});
        let incoming = "goldpath: {b: 2}\nconditions: [{type: B, status: 'True'}]";
        merge(&mut object, incoming, &Control::default(), "deliver", false).expect("a status");
        let conditions = json!([{"type": "A"}, {"type": "B", "status": "True"}]);
        assert_eq!(object["status"], json!({"goldpath": {"b": 2}, "message": "Pending", "conditions": conditions}));
    }),
    ("Kratix's own part of the status is refused", || {
        let error = merge(&mut json!({}), "kratix: {}", &Control::default(), "deliver", false).expect_err("a refusal");
        assert_eq!(error.to_string(), "`kratix` in `status.yaml` is Kratix's own");
    }),
    ("the last Pipeline ends a message that nobody has written", || {
        let mut object = json!({"status": {"message": "Pending"}});
        merge(&mut object, "", &Control::default(), "deliver", true).expect("a status");
        assert_eq!(object["status"]["message"], "Resource requested");
        assert_eq!(condition(&object, "ConfigureWorkflowCompleted", "status"), "True");
    }),
    ("attempts are counted until a Pipeline ends", || {
        let mut object = json!({"metadata": {"generation": 3}, "status": {}});
        reset(&mut object, &["deliver"]);
        let control = Control::parse("suspend: true\nretryAfter: 1m30s\nmessage: wait").expect("a control file");
        assert_eq!(control.retry_after, Some(Duration::from_secs(90)));
        for attempts in 1..3 {
            merge(&mut object, "", &control, "deliver", true).expect("a status");
            let pipeline = &object["status"]["kratix"]["workflows"]["pipelines"][0];
            assert_eq!((&pipeline["phase"], &pipeline["attempts"]), (&json!(SUSPENDED), &json!(attempts)));
            assert!(suspension(&object).is_some_and(|at| at.is_some_and(|at| at > Timestamp::now())));
            assert!(!changed_since_suspension(&object));
            set_phase(&mut object, "deliver", "Running");
        }
        object["metadata"]["generation"] = json!(4);
        assert!(changed_since_suspension(&object));
        merge(&mut object, "", &Control::default(), "deliver", true).expect("a status");
        assert_eq!(object["status"]["kratix"]["workflows"]["pipelines"][0]["attempts"], Value::Null);
        assert!(!changed_since_suspension(&object));
    }),
    ("a wrong duration is refused", || {
        for wrong in ["soon", "5", "1x"] {
            Control::parse(&format!("retryAfter: {wrong:?}")).expect_err("a refusal");
        }
    }),
];
