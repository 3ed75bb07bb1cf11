//! What a plan would do: the resource changes, in a normal form that has a digest.
//!
//! The format: <https://developer.hashicorp.com/terraform/internals/json-format>. No sensitive value
//! leaves this module.

use anyhow::{Context, Result, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// In the place of a value that nobody may see.
const SENSITIVE: &str = "(sensitive)";
/// In the place of a value that only the apply knows.
const UNKNOWN: &str = "(known after apply)";

/// What a plan would do, as Terraform's JSON tells it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// By address; what stays as it is and what is only read is left out.
    pub resources: Vec<ResourceChange>,
    /// The names of the outputs that change, with whether they are sensitive.
    pub outputs: Vec<OutputChange>,
    /// What was changed by hand since the last apply.
    pub drift: Vec<ResourceChange>,
}

/// What becomes of one resource.
#[derive(Clone, Debug)]
pub struct ResourceChange {
    /// As `gitea_team_membership.admin["ada"]`; what a failed replacement has left behind is `… (deposed object 1a2b)`.
    pub address: String,
    /// As `gitea_team_membership`.
    pub kind: String,
    /// The provider's full name.
    pub provider: String,
    /// What is done to it.
    pub action: Action,
    /// What it was; `null` if it was not.
    pub before: Value,
    /// What it will be, as far as it is known; sensitive values are `"(sensitive)"`, those that only the apply
    /// knows `"(known after apply)"`. The same for `before`.
    pub after: Value,
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is destroyed and made again.
    Replace,
    /// It is destroyed.
    Delete,
    /// It is let go of, and stays.
    Forget,
    /// It is taken over (with or without a change in place).
    Import,
}

/// What becomes of one output.
#[derive(Clone, Debug)]
pub struct OutputChange {
    /// Its name.
    pub name: String,
    /// What it was and will be, as in [`ResourceChange`].
    pub before: Value,
    /// As `before`.
    pub after: Value,
}

impl OutputChange {
    /// What is done to it.
    pub fn action(&self) -> Action {
        match (&self.before, &self.after) {
            (Value::Null, _) => Action::Create,
            (_, Value::Null) => Action::Delete,
            _ => Action::Update,
        }
    }
}

impl Changes {
    /// Reads what `terraform show -json` prints of a plan.
    ///
    /// # Errors
    /// No JSON, no plan of format 1, one that failed or leaves something for later, or anything that is not known here.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let plan: Plan = serde_json::from_slice(json).context("the plan is not what Terraform should print")?;
        ensure!(
            plan.format_version.starts_with("1."),
            "the plan has the format `{}`, and only `1.x` is known here",
            plan.format_version
        );
        ensure!(
            plan.values.is_none(),
            "it is a state, as `terraform show -json` prints it without the name of a plan file"
        );
        ensure!(
            plan.planned_values.is_some() || plan.resource_changes.is_some(),
            "it has neither `planned_values` nor `resource_changes`"
        );
        ensure!(!plan.errored, "the plan is of a run that failed");
        let is_deferred = !plan.deferred_changes.is_empty() || !plan.deferred_action_invocations.is_empty();
        ensure!(
            !is_deferred && plan.complete != Some(false),
            "the plan leaves changes for a later one, which nobody can be shown yet"
        );
        ensure!(
            plan.action_invocations.is_empty(),
            "the plan runs actions of providers, which are not known here: remove `action_trigger` from the root module"
        );
        let mut outputs = Vec::new();
        for (name, change) in plan.output_changes {
            if !change.changes_nothing() {
                outputs.push(OutputChange { name, before: change.masked_before(), after: change.masked_after() });
            }
        }
        Ok(Self {
            resources: read(plan.resource_changes.unwrap_or_default())?,
            outputs,
            drift: read(plan.resource_drift)?,
        })
    }

    /// Whether an apply would do nothing.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.outputs.is_empty()
    }

    /// As `+3 ~0 -0`: a replacement counts as one made and one destroyed, a takeover as one changed.
    pub fn summary(&self) -> String {
        let count = |actions: &[Action]| self.resources.iter().filter(|r| actions.contains(&r.action)).count();
        let mut text = format!(
            "+{} ~{} -{}",
            count(&[Action::Create, Action::Replace]),
            count(&[Action::Update, Action::Import]),
            count(&[Action::Delete, Action::Replace])
        );
        match count(&[Action::Forget]) {
            0 => {}
            forgotten => text.push_str(&format!(", forgets {forgotten}")),
        }
        if self.resources.is_empty() && !self.outputs.is_empty() {
            text.push_str(", outputs change");
        }
        text
    }

    /// What is approved: SHA-256, in hex, of the tree (the id of the root module's folder in git)
    /// and the changes.
    ///
    /// No sensitive value goes into it: digests are public, so who guesses a short secret could check
    /// the guess. The tree pins where such a value comes from. Drift does not count either, since it
    /// is not what is applied, nor what an object has beside what changes: some of it comes back in
    /// another order with every read.
    pub fn digest(&self, tree: &str) -> String {
        let mut resources: Vec<_> = self.resources.iter().collect();
        resources.sort_by(|a, b| (&a.address, a.action).cmp(&(&b.address, b.action)));
        let resources: Vec<_> = resources
            .into_iter()
            .map(|r| {
                json!({
                    "address": r.address, "kind": r.kind, "provider": r.provider, "action": r.action,
                    "id": r.before.get("id"), "change": difference(&r.before, &r.after),
                })
            })
            .collect();
        let mut outputs: Vec<_> = self.outputs.iter().collect();
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        let outputs: Vec<_> =
            outputs.into_iter().map(|o| json!({"name": o.name, "before": o.before, "after": o.after})).collect();
        let all = sorted(&json!({"tree": tree, "resources": resources, "outputs": outputs}));
        goldpath::digest::sha256(all.to_string().as_bytes())
    }
}

/// What of an object changes, as pairs; all of one that is made; nothing of one that goes.
fn difference(before: &Value, after: &Value) -> Value {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let pairs = keys.into_iter().map(|key| (key, before.get(key), after.get(key)));
            pairs.filter(|(_, old, new)| old != new).map(|(key, old, new)| (key.clone(), json!([old, new]))).collect()
        }
        (_, after) => after.clone(),
    }
}

/// A plan, as far as it is read. A key that is not here may change something that nobody would be shown, and is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    format_version: String,
    #[serde(default)]
    errored: bool,
    /// Only a plan has this.
    planned_values: Option<IgnoredAny>,
    /// What a state has instead.
    values: Option<IgnoredAny>,
    complete: Option<bool>,
    #[serde(default)]
    deferred_changes: Vec<IgnoredAny>,
    #[serde(default)]
    action_invocations: Vec<IgnoredAny>,
    #[serde(default)]
    deferred_action_invocations: Vec<IgnoredAny>,
    #[serde(default, rename = "terraform_version")]
    _terraform_version: IgnoredAny,
    #[serde(default, rename = "variables")]
    _variables: IgnoredAny,
    #[serde(default, rename = "prior_state")]
    _prior_state: IgnoredAny,
    #[serde(default, rename = "configuration")]
    _configuration: IgnoredAny,
    #[serde(default, rename = "relevant_attributes")]
    _relevant_attributes: IgnoredAny,
    #[serde(default, rename = "checks")]
    _checks: IgnoredAny,
    #[serde(default, rename = "timestamp")]
    _timestamp: IgnoredAny,
    #[serde(default, rename = "applyable")]
    _applyable: IgnoredAny,
    resource_changes: Option<Vec<Resource>>,
    #[serde(default)]
    output_changes: BTreeMap<String, Change>,
    #[serde(default)]
    resource_drift: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    address: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    provider_name: String,
    deposed: Option<String>,
    change: Change,
}

#[derive(Deserialize)]
struct Change {
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
    #[serde(default)]
    before_sensitive: Value,
    #[serde(default)]
    after_sensitive: Value,
    #[serde(default)]
    importing: Option<Value>,
}

impl Change {
    /// Nothing for what stays as it is or is only read.
    fn action(&self) -> Result<Option<Action>> {
        let actions: Vec<_> = self.actions.iter().map(String::as_str).collect();
        Ok(match (actions.as_slice(), &self.importing) {
            (["no-op" | "update"], Some(_)) => Some(Action::Import),
            (["no-op" | "read"], _) => None,
            (["create"], _) => Some(Action::Create),
            (["update"], _) => Some(Action::Update),
            (["delete"], _) => Some(Action::Delete),
            (["forget"], _) => Some(Action::Forget),
            (["delete", "create"] | ["create", "delete"] | ["create", "forget"] | ["forget", "create"], _) => {
                Some(Action::Replace)
            }
            _ => bail!("the plan has the action `{}`, which is not known here", actions.join(", ")),
        })
    }

    /// Compared before anything is masked: a sensitive value that changes is a change.
    fn changes_nothing(&self) -> bool {
        self.before == self.after && self.before_sensitive == self.after_sensitive && !holds_true(&self.after_unknown)
    }

    fn masked_before(&self) -> Value {
        masked(&self.before, &self.before_sensitive, &Value::Null)
    }

    fn masked_after(&self) -> Value {
        masked(&self.after, &self.after_sensitive, &self.after_unknown)
    }
}

fn read(resources: Vec<Resource>) -> Result<Vec<ResourceChange>> {
    let mut changes = Vec::new();
    for resource in resources {
        let reading = || format!("`{}` cannot be read", resource.address);
        let Some(action) = resource.change.action().with_context(reading)? else { continue };
        changes.push(ResourceChange {
            before: resource.change.masked_before(),
            after: resource.change.masked_after(),
            address: match &resource.deposed {
                Some(key) => format!("{} (deposed object {key})", resource.address),
                None => resource.address,
            },
            kind: resource.kind,
            provider: resource.provider_name,
            action,
        });
    }
    changes.sort_by(|a, b| (&a.address, a.action).cmp(&(&b.address, b.action)));
    Ok(changes)
}

/// A value without what is sensitive, and with words for what is not known yet: both are told in trees
/// of the value's own shape with `true` where it holds for everything below. What is not known is not
/// in the value.
fn masked(value: &Value, sensitive: &Value, unknown: &Value) -> Value {
    match (value, sensitive, unknown) {
        (_, Value::Bool(true), _) => SENSITIVE.into(),
        (_, _, Value::Bool(true)) => UNKNOWN.into(),
        (Value::Object(fields), _, _) => object(Some(fields), sensitive, unknown),
        (Value::Null, _, Value::Object(_)) if holds_true(unknown) => object(None, sensitive, unknown),
        (Value::Array(items), _, _) => array(items, sensitive, unknown),
        (Value::Null, _, Value::Array(_)) if holds_true(unknown) => array(&[], sensitive, unknown),
        // The value has another shape than what is said of it: show too little of it, not too much.
        _ if holds_true(sensitive) => SENSITIVE.into(),
        _ => value.clone(),
    }
}

fn object(fields: Option<&Map<String, Value>>, sensitive: &Value, unknown: &Value) -> Value {
    let known = fields.into_iter().flat_map(Map::keys);
    let later = unknown.as_object().into_iter().flatten().filter(|(_, tree)| holds_true(tree)).map(|(name, _)| name);
    let names: BTreeSet<_> = known.chain(later).collect();
    let field = |name: &String| {
        let value = fields.and_then(|fields| fields.get(name)).unwrap_or(&Value::Null);
        (name.clone(), masked(value, below(sensitive, name.as_str()), below(unknown, name.as_str())))
    };
    Value::Object(names.into_iter().map(field).collect())
}

fn array(items: &[Value], sensitive: &Value, unknown: &Value) -> Value {
    let length = items.len().max(unknown.as_array().map_or(0, Vec::len));
    let item = |n: usize| masked(items.get(n).unwrap_or(&Value::Null), below(sensitive, n), below(unknown, n));
    Value::Array((0..length).map(item).collect())
}

fn below(tree: &Value, index: impl serde_json::value::Index) -> &Value {
    tree.get(index).unwrap_or(&Value::Null)
}

fn holds_true(tree: &Value) -> bool {
    match tree {
        Value::Bool(is) => *is,
        Value::Array(items) => items.iter().any(holds_true),
        Value::Object(fields) => fields.values().any(holds_true),
        _ => false,
    }
}

/// The same value with its keys in order, also where serde_json is built to keep another.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// Terraform 1.11.4 of `terraform_data`, shortened: an update, a replacement, a deletion, two outputs.
    const PLAN: &str = include_str!("../testdata/plan.json");

    fn plan() -> Value {
        serde_json::from_str(PLAN).unwrap()
    }

    fn parse(plan: &Value) -> Changes {
        Changes::parse(plan.to_string().as_bytes()).unwrap()
    }

    /// A plan of one resource `x.y`.
    fn of(change: Value) -> Value {
        json!({"format_version": "1.2", "resource_changes": [
            {"address": "x.y", "type": "x", "provider_name": "p", "change": change},
        ]})
    }

    fn action(actions: &[&str], importing: Value) -> Option<Action> {
        parse(&of(json!({"actions": actions, "importing": importing}))).resources.first().map(|r| r.action)
    }

    #[test]
    fn a_plan_of_terraforms_own_is_read() {
        let changes = parse(&plan());
        let told: Vec<_> = changes.resources.iter().map(|r| (r.address.as_str(), r.action)).collect();
        let expected = [
            ("terraform_data.a", Action::Update),
            ("terraform_data.b", Action::Replace),
            ("terraform_data.c", Action::Delete),
        ];
        assert_eq!(told, expected);
        assert_eq!(changes.resources[0].kind, "terraform_data");
        assert_eq!(changes.resources[0].provider, "terraform.io/builtin/terraform");
        assert_eq!(changes.resources[0].before["input"], json!({"name": "one", "secret": "(sensitive)"}));
        assert_eq!(changes.resources[0].after["input"], json!({"name": "two", "secret": "(sensitive)"}));
        assert_eq!(changes.resources[0].after["output"], "(known after apply)");
        assert_eq!(changes.resources[1].after["id"], "(known after apply)");
        assert_eq!(changes.resources[2].after, Value::Null);
        let told: Vec<_> = changes.outputs.iter().map(|o| (o.name.as_str(), &o.before, &o.after)).collect();
        let hidden = json!("(sensitive)");
        assert_eq!(told, [("name", &json!("one"), &json!("two")), ("secret", &hidden, &hidden)]);
        assert_eq!(changes.summary(), "+1 ~1 -2");
        assert!(!format!("{changes:?}").contains("hunter"), "{changes:?}");
    }

    #[test]
    fn every_action_has_its_name_here() {
        let none = Value::Null;
        assert_eq!(action(&["no-op"], none.clone()), None);
        assert_eq!(action(&["read"], none.clone()), None);
        assert_eq!(action(&["create"], none.clone()), Some(Action::Create));
        assert_eq!(action(&["delete", "create"], none.clone()), Some(Action::Replace));
        assert_eq!(action(&["create", "delete"], none.clone()), Some(Action::Replace));
        assert_eq!(action(&["create", "forget"], none.clone()), Some(Action::Replace));
        assert_eq!(action(&["forget"], none), Some(Action::Forget));
        assert_eq!(action(&["no-op"], json!({"id": "7"})), Some(Action::Import));
        assert_eq!(action(&["update"], json!({"id": "7"})), Some(Action::Import));
        let error = Changes::parse(of(json!({"actions": ["explode"]})).to_string().as_bytes()).unwrap_err();
        let expected = "`x.y` cannot be read: the plan has the action `explode`, which is not known here";
        assert_eq!(format!("{error:#}"), expected);
    }

    #[test]
    fn what_is_sensitive_or_unknown_is_hidden_at_every_depth() {
        let hidden = |value, sensitive, unknown| masked(&value, &sensitive, &unknown);
        let none = Value::Null;
        assert_eq!(hidden(json!({"a": [1, {"b": 2}]}), json!(true), none.clone()), SENSITIVE);
        assert_eq!(
            hidden(json!([1, {"b": 2, "c": 3}]), json!([false, {"b": true}]), none.clone()),
            json!([
                1, {"b": SENSITIVE, "c": 3}
            ])
        );
        assert_eq!(
            hidden(json!({"a": {}}), json!({}), json!({"a": {"b": true}, "c": {}})),
            json!({"a": {"b": UNKNOWN}})
        );
        assert_eq!(hidden(json!([1]), json!([]), json!([false, true])), json!([1, UNKNOWN]));
        assert_eq!(hidden(json!({}), json!({"a": true}), json!({"a": true})), json!({"a": SENSITIVE}));
        assert_eq!(hidden(json!("text"), json!({"a": true}), none), SENSITIVE);
    }

    #[test]
    fn only_a_plan_of_format_1_that_went_well_is_read() {
        let error = |text: &str| format!("{:#}", Changes::parse(text.as_bytes()).unwrap_err());
        assert_eq!(
            error(r#"{"format_version": "2.0"}"#),
            "the plan has the format `2.0`, and only `1.x` is known here"
        );
        let with = |more: &str| error(&format!(r#"{{"format_version": "1.2", "planned_values": {{}}, {more}}}"#));
        assert_eq!(with(r#""errored": true"#), "the plan is of a run that failed");
        assert!(error("{}").starts_with("the plan is not what Terraform should print: missing field"));
    }

    #[test]
    fn outputs_alone_are_told() {
        let same = json!({"actions": ["no-op"], "before": 1, "after": 1, "after_unknown": false});
        let changed = json!({"actions": ["create"], "before": null, "after": 1, "after_unknown": false});
        let plan =
            |output: &Value| json!({"format_version": "1.0", "planned_values": {}, "output_changes": {"o": output}});
        assert!(parse(&plan(&same)).is_empty());
        assert_eq!(parse(&plan(&same)).summary(), "+0 ~0 -0");
        assert_eq!(parse(&plan(&changed)).summary(), "+0 ~0 -0, outputs change");
        assert_eq!(parse(&of(json!({"actions": ["forget"]}))).summary(), "+0 ~0 -0, forgets 1");
    }

    #[test]
    fn the_digest_is_of_the_changes_and_not_of_their_order() {
        let digest = parse(&plan()).digest("tree");
        assert_eq!(digest.len(), 64);
        let mut turned = plan();
        turned["resource_changes"].as_array_mut().unwrap().reverse();
        assert_eq!(parse(&turned).digest("tree"), digest);
        let mut drifted = plan();
        drifted["resource_drift"] = drifted["resource_changes"].clone();
        assert_eq!(parse(&drifted).drift.len(), 3);
        assert_eq!(parse(&drifted).digest("tree"), digest);
        assert_ne!(parse(&plan()).digest("another"), digest);
        for (place, value) in [
            ("/resource_changes/0/address", json!("terraform_data.z")),
            ("/resource_changes/0/type", json!("z")),
            ("/resource_changes/0/provider_name", json!("z")),
            ("/resource_changes/0/change/actions", json!(["create"])),
            ("/resource_changes/0/change/before/input/name", json!("z")),
            ("/resource_changes/0/change/after/input/name", json!("z")),
            ("/resource_changes/0/change/after_unknown/output", json!(false)),
            ("/output_changes/name/after", json!("z")),
            ("/resource_changes/2/deposed", json!("1a2b")),
        ] {
            let mut plan = plan();
            match plan.pointer_mut(place) {
                Some(field) => *field = value,
                None => plan["resource_changes"][2]["deposed"] = value,
            }
            assert_ne!(parse(&plan).digest("tree"), digest, "{place}");
        }
    }

    #[test]
    fn a_sensitive_value_is_not_in_the_digest() {
        let digest = parse(&plan()).digest("tree");
        for place in ["/resource_changes/0/change/after/input/secret", "/output_changes/secret/after"] {
            let mut plan = plan();
            *plan.pointer_mut(place).unwrap() = json!("another");
            assert_eq!(parse(&plan).digest("tree"), digest, "{place}");
        }
    }
}
