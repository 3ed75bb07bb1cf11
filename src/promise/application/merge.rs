//! A component as an instance has it: what stands there laid over what stands above.
//!
//! Mappings merge field by field, lists with a key by that key, other lists replace. Of alternatives the one that is laid over
//! wins. What comes of it keeps the places of what it came from, so that a fault that only shows then is told at the field
//! that made it so.

use crate::document::{Key, Node, Value};
use crate::text::Span;
use crate::violation::{Refusal, Violation};

/// The lists of a component whose entries have a key.
const KEYS: [(&str, &str); 5] =
    [("env", "name"), ("secrets", "name"), ("ports", "name"), ("files", "path"), ("volumes", "name")];

/// Fields of which one says all, by the field or list that they are in; those of a group stay together.
const ALTERNATIVES: [(&str, &[&[&str]]); 9] = [
    ("", &[&["replicas"], &["autoscaling"]]),
    ("env", &[&["value"], &["component", "port"]]),
    ("secrets", &[&["secret"], &["external"]]),
    ("healthCheck", PROBES),
    ("liveness", PROBES),
    ("readiness", PROBES),
    ("startup", PROBES),
    ("disruption", &[&["maxUnavailable"], &["minAvailable"]]),
    ("volumes", &[&["emptyDir"], &["claim"], &["configMap"], &["secret"]]),
];
const PROBES: &[&[&str]] = &[&["http"], &["tcp"], &["grpc"], &["exec"]];

/// The fields of a component that are short for those of the port named `main`.
const MAIN: [&str; 5] = ["port", "protocol", "visibility", "host", "path"];
/// The name of that port.
pub const MAIN_PORT: &str = "main";

/// A component with what is short for its port `main` in its `ports`. Both at once is a fault.
pub fn with_ports(component: &Node, faults: &mut Vec<Violation>) -> Node {
    let Value::Map(entries) = &component.value else { return component.clone() };
    let (short, mut others): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(|(key, value)| MAIN.contains(&key.name.as_str()) && !value.is_null());
    if short.is_empty() {
        return component.clone();
    }
    // What is missing in it is missing in the component.
    let span = component.span;
    let key = |name: &str| Key { name: name.to_owned(), is_ambiguous: false, span };
    let mut main = vec![(key("name"), Node { value: Value::String(MAIN_PORT.to_owned()), span })];
    main.extend(short);
    let main = Node { value: Value::Map(main), span };
    match others.iter_mut().find(|(key, value)| key.name == "ports" && !value.is_null()) {
        Some((_, Node { value: Value::List(ports), .. })) => {
            let is_main = |port: &Node| port.get("name").and_then(Node::as_str) == Some(MAIN_PORT);
            if let Some(n) = ports.iter().position(is_main) {
                let refusal = Refusal::new("alternative", "says again what the component says of its port `main`");
                let refusal = refusal.help("say it in one of the two places");
                faults.push(refusal.at("", Some(ports[n].span)));
            } else {
                ports.insert(0, main);
            }
        }
        _ => others.push((key("ports"), Node { value: Value::List(vec![main]), span })),
    }
    Node { value: Value::Map(others), span: component.span }
}

/// What comes of a component with another laid over it. An entry that is to be taken out and is not there is a fault, as it
/// stands above all in a component that nothing is laid over.
pub fn lay_over(below: &Node, above: &Node, faults: &mut Vec<Violation>) -> Node {
    let mut merged = merge(below, above, "", true, faults);
    let says = |name: &str| above.get(name).is_some_and(|node| !node.is_null());
    // A version is that of one image, and a digest that of one version.
    if says("image") && !says("version") {
        remove(&mut merged, "version");
    }
    if (says("image") || says("version")) && !says("digest") {
        remove(&mut merged, "digest");
    }
    merged
}

/// A component that nothing is laid over.
pub fn alone(component: &Node, faults: &mut Vec<Violation>) -> Node {
    let nothing = Node { value: Value::Map(Vec::new()), span: component.span };
    lay_over(&nothing, component, faults)
}

fn remove(node: &mut Node, name: &str) {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|(key, _)| key.name != name);
    }
}

/// Lays `above` over `below`, which both stand in the field or list `place`.
fn merge(below: &Node, above: &Node, place: &str, is_component: bool, faults: &mut Vec<Violation>) -> Node {
    let (Value::Map(old), Value::Map(new)) = (&below.value, &above.value) else { return above.clone() };
    let mut entries = old.clone();
    if place == "ports" {
        drop_useless(&mut entries, above);
    }
    for (key, value) in new.iter().filter(|(_, value)| !value.is_null()) {
        drop_others(&mut entries, place, &key.name);
        let list_key = KEYS.iter().find(|(list, _)| is_component && *list == key.name).map(|(_, key)| *key);
        let nothing = Node { value: Value::List(Vec::new()), span: value.span };
        match entries.iter_mut().find(|(other, _)| other.name == key.name) {
            Some((_, old)) => {
                *old = match list_key {
                    Some(list_key) => merge_list(old, value, &key.name, list_key, faults),
                    None => merge(old, value, &key.name, false, faults),
                };
            }
            None => {
                let value = match list_key {
                    Some(list_key) => merge_list(&nothing, value, &key.name, list_key, faults),
                    None => value.clone(),
                };
                entries.push((key.clone(), value));
            }
        }
    }
    Node { value: Value::Map(entries), span: above.span }
}

fn merge_list(below: &Node, above: &Node, name: &str, key: &str, faults: &mut Vec<Violation>) -> Node {
    let (Value::List(old), Value::List(new)) = (&below.value, &above.value) else { return above.clone() };
    let key_of = |item: &Node| item.get(key).and_then(Node::as_str).map(str::to_owned);
    let mut items = old.clone();
    for item in new {
        let place = items.iter().position(|other| key_of(other).is_some() && key_of(other) == key_of(item));
        let is_removed = item.get("remove").is_some_and(|remove| matches!(remove.value, Value::Bool(true)));
        match (place, is_removed) {
            (Some(place), true) => drop(items.remove(place)),
            (Some(place), false) => items[place] = merge(&items[place], item, name, false, faults),
            (None, true) => {
                let refusal = Refusal::new("unknown", "is to be taken out, and is not there");
                faults.push(refusal.help("leave it out").at("", Some(item.span)));
            }
            (None, false) => items.push(item.clone()),
        }
    }
    Node { value: Value::List(items), span: above.span }
}

/// Takes out of a port what is of no use with what is laid over it.
fn drop_useless(entries: &mut Vec<(Key, Node)>, above: &Node) {
    let says =
        |name: &str, words: &[&str]| above.get(name).and_then(Node::as_str).is_some_and(|word| words.contains(&word));
    if says("visibility", &["cluster"]) || says("protocol", &["tcp", "udp"]) {
        entries.retain(|(key, _)| key.name != "host" && key.name != "path");
    }
}

/// Takes out what `name`, which is laid over, is an alternative to.
fn drop_others(entries: &mut Vec<(Key, Node)>, place: &str, name: &str) {
    let groups = ALTERNATIVES.iter().find(|(other, _)| *other == place).map_or(&[][..], |(_, groups)| groups);
    if groups.iter().any(|group| group[0] == name) {
        let others = groups.iter().filter(|group| group[0] != name);
        let others: Vec<_> = others.flat_map(|group| group.iter()).collect();
        entries.retain(|(key, _)| !others.contains(&&key.name.as_str()));
    }
}

/// The path of what stands at a place: of the field or entry that begins there. What is read stands in the order of its text.
pub fn path_of(root: &Node, path: &str, place: Span) -> Option<String> {
    if root.span.start == place.start {
        return Some(path.to_owned());
    }
    match &root.value {
        Value::List(items) => {
            let (n, item) = items.iter().enumerate().rfind(|(_, item)| item.span.start <= place.start)?;
            path_of(item, &format!("{path}[{n}]"), place)
        }
        Value::Map(entries) => {
            let (key, value) = entries.iter().rfind(|(key, _)| key.span.start <= place.start)?;
            let below = format!("{path}.{}", key.name);
            if key.span.start == place.start { Some(below) } else { path_of(value, &below, place) }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::document::{parse, to_json};

    /// What comes of two components, and the faults.
    fn merged(below: &str, above: &str) -> (String, Vec<String>) {
        let source = format!("[{below}, {above}]");
        let root = parse(source.as_bytes()).unwrap().remove(0);
        let Value::List(both) = &root.value else { panic!("no list") };
        let mut faults = Vec::new();
        let [below, above] = [0, 1].map(|n| with_ports(&both[n], &mut faults));
        let merged = lay_over(&alone(&below, &mut faults), &above, &mut faults);
        let place = |fault: &Violation| format!("{} {}", path_of(&root, "", fault.span.unwrap()).unwrap(), fault.rule);
        (to_json(&merged).to_string(), faults.iter().map(place).collect())
    }

    #[test]
    fn each_kind_of_field_merges_in_its_way() {
        for (below, above, expected) in [
            ("{cpu: 1}", "{memory: 1Gi}", r#"{"cpu":1,"memory":"1Gi"}"#),
            ("{cpu: 1}", "{cpu: null}", r#"{"cpu":1}"#),
            ("{limits: {cpu: 1}}", "{limits: {memory: 1Gi}}", r#"{"limits":{"cpu":1,"memory":"1Gi"}}"#),
            ("{command: [a, b]}", "{command: [c]}", r#"{"command":["c"]}"#),
            (
                "{env: [{name: A, value: x}, {name: B, value: y}]}",
                "{env: [{name: B, value: z}, {name: C, value: w}]}",
                r#"{"env":[{"name":"A","value":"x"},{"name":"B","value":"z"},{"name":"C","value":"w"}]}"#,
            ),
            ("{env: [{name: A, value: x}]}", "{env: [{name: A, remove: true}]}", r#"{"env":[]}"#),
            (
                "{env: [{name: A, component: b, port: c}]}",
                "{env: [{name: A, value: x}]}",
                r#"{"env":[{"name":"A","value":"x"}]}"#,
            ),
            ("{replicas: 2}", "{autoscaling: {max: 3}}", r#"{"autoscaling":{"max":3}}"#),
            ("{autoscaling: {max: 3}}", "{replicas: 2}", r#"{"replicas":2}"#),
            (
                "{autoscaling: {min: 2, cpu: 80}}",
                "{autoscaling: {max: 3}}",
                r#"{"autoscaling":{"cpu":80,"max":3,"min":2}}"#,
            ),
            (
                "{liveness: {http: {path: /a}, periodSeconds: 5}}",
                "{liveness: {tcp: {port: b}}}",
                r#"{"liveness":{"periodSeconds":5,"tcp":{"port":"b"}}}"#,
            ),
            ("{version: '1', digest: d}", "{version: '2'}", r#"{"version":"2"}"#),
            ("{image: a, version: '1', digest: d}", "{image: b}", r#"{"image":"b"}"#),
            (
                "{port: 80, visibility: public, host: a.b, path: /c}",
                "{visibility: cluster}",
                r#"{"ports":[{"name":"main","port":80,"visibility":"cluster"}]}"#,
            ),
            ("{version: '1'}", "{digest: d}", r#"{"digest":"d","version":"1"}"#),
            ("{port: 80, host: a.b}", "{host: c.d}", r#"{"ports":[{"host":"c.d","name":"main","port":80}]}"#),
            (
                "{port: 80}",
                "{ports: [{name: main, targetPort: 8080}, {name: b, port: 1}]}",
                r#"{"ports":[{"name":"main","port":80,"targetPort":8080},{"name":"b","port":1}]}"#,
            ),
            (
                "{sidecars: [{name: a, env: [{name: X, value: y}]}]}",
                "{sidecars: [{name: b}]}",
                r#"{"sidecars":[{"name":"b"}]}"#,
            ),
            ("{labels: {a: b}}", "{labels: {c: d}}", r#"{"labels":{"a":"b","c":"d"}}"#),
            (
                "{volumes: [{name: a, claim: b, readOnly: true}]}",
                "{volumes: [{name: a, secret: c}]}",
                r#"{"volumes":[{"name":"a","readOnly":true,"secret":"c"}]}"#,
            ),
        ] {
            assert_eq!(merged(below, above), (expected.to_owned(), Vec::new()), "{below} {above}");
        }
    }

    #[test]
    fn what_cannot_be_merged_is_told_where_it_stands() {
        assert_eq!(merged("{cpu: 1}", "{env: [{name: A, remove: true}]}").1, ["[1].env[0] unknown"]);
        assert_eq!(merged("{env: [{name: A, remove: true}]}", "{}").1, ["[0].env[0] unknown"]);
        assert_eq!(merged("{port: 80, ports: [{name: main, port: 81}]}", "{}").1, ["[0].ports[0] alternative"]);
    }
}
