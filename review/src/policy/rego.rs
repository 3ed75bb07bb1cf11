//! The platform's own rules: Rego by Conftest's conventions, each file for itself.
//!
//! A package `goldpath` (or one under it) with the rules `deny`, `needs_owner` and `warn`: sets of
//! texts, or of objects with `msg`, and with `id` and `place` where wanted.

use crate::finding::{Finding, Severity};
use anyhow::{Context, Result, anyhow, bail};
use regex::Regex;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

const RULES: [(&str, Severity); 3] =
    [("deny", Severity::Denied), ("needs_owner", Severity::NeedsOwner), ("warn", Severity::Warning)];
/// What a rule does takes milliseconds; one file must not hold up every pull request.
const TIME: ExecutionTimerConfig =
    ExecutionTimerConfig { limit: Duration::from_secs(10), check_interval: NonZeroU32::new(1000).expect("a constant") };
/// The most findings of one rule: a comment shows fewer.
const MAX_FINDINGS: usize = 1000;

/// The rules of one file.
pub struct Rules {
    /// The file, for errors.
    name: String,
    /// The file's name without folder and ending: the id of a rule that names none.
    stem: String,
    engine: Engine,
    /// The paths of the rules that the file has.
    paths: Vec<(String, Severity)>,
}

impl Rules {
    /// Compiles `text`, which stands in the file `name` (of the configuration's) and is called
    /// `shown` in errors.
    ///
    /// # Errors
    /// What is no Rego, with its line; over 1 MiB or 20,000 lines; a file without such a rule.
    pub fn parse(name: &str, shown: &str, text: String) -> Result<Self> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let stem = file.strip_suffix(".rego").unwrap_or(file).to_owned();
        let mut engine = Engine::new();
        engine.set_execution_timer_config(TIME);
        // A failure must not read as "no fault".
        engine.set_strict_builtin_errors(true);
        if let Some(function) = recursive(&text) {
            bail!("{shown}: the function `{function}` can come to call itself, which Rego has no room for");
        }
        let package = engine.add_policy(shown.to_owned(), text).map_err(|e| one_line(&e))?;
        if package != "data.goldpath" && !package.starts_with("data.goldpath.") {
            bail!("{shown}: the package is not `goldpath`, nor under it");
        }
        let mut paths = Vec::new();
        for (rule, severity) in RULES {
            let path = format!("{package}.{rule}");
            if engine.has_declared_rule_rooted_at(shown, rule).map_err(|e| one_line(&e))? {
                // Most slips, as an unknown function, show only when a rule runs. Without an input it
                // comes to no harm: what looks at the input is undefined.
                engine.eval_rule(path.clone()).map_err(|e| one_line(&e))?;
                paths.push((path, severity));
            }
        }
        if paths.is_empty() {
            bail!("{shown}: it has no rule `deny`, `needs_owner` or `warn`");
        }
        Ok(Self { name: shown.to_owned(), stem, engine, paths })
    }

    /// What the rules find in `input`.
    ///
    /// # Errors
    /// A rule that fails, that takes too long, or that gives something else than it should.
    pub fn check(&self, input: &Value) -> Result<Vec<Finding>> {
        let mut engine = self.engine.clone();
        engine.set_input(input.clone());
        let mut findings = Vec::new();
        for (path, severity) in &self.paths {
            let result = engine.eval_rule(path.clone()).map_err(|e| one_line(&e));
            let result = result.with_context(|| format!("a rule failed: {}", self.name))?;
            let items: Vec<_> = match &result {
                Value::Set(items) => items.iter().collect(),
                Value::Array(items) => items.iter().collect(),
                Value::Undefined => continue,
                _ => bail!("{}: `{path}` is not a set: write it as in `deny contains message if {{ … }}`", self.name),
            };
            if items.len() > MAX_FINDINGS {
                bail!("{}: `{path}` has {} findings, more than {MAX_FINDINGS}", self.name, items.len());
            }
            for item in items {
                findings.push(self.finding(item, *severity).with_context(|| {
                    format!("{}: `{path}` holds what is neither a text nor an object with texts as `msg`", self.name)
                })?);
            }
        }
        Ok(findings)
    }

    fn finding(&self, item: &Value, severity: Severity) -> Option<Finding> {
        let (id, place, message) = match item {
            Value::String(message) => (None, None, &**message),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(&name.into()).map(|value| value.as_string().ok().map(|t| &**t));
                let optional = |name| text(name).map_or(Some(None), |text| text.map(Some));
                (optional("id")?, optional("place")?, text("msg")??)
            }
            _ => return None,
        };
        Some(Finding {
            severity,
            rule: id.unwrap_or(&self.stem).to_owned(),
            place: place.unwrap_or_default().to_owned(),
            message: message.to_owned(),
        })
    }
}

/// A function that can call itself: regorus would run out of stack, which ends the process. Reads
/// the text roughly, from the start of one rule to that of the next.
fn recursive(text: &str) -> Option<&str> {
    let call = Regex::new(r"\b([A-Za-z_]\w*)[ \t]*\(").expect("a constant");
    let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let mut names = call.captures_iter(line).filter_map(|found| found.get(1)).peekable();
        if line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            current = names.next_if(|name| name.start() == 0).map(|name| name.as_str());
        }
        calls.entry(current.unwrap_or_default()).or_default().extend(names.map(|name| name.as_str()));
    }
    calls.keys().copied().filter(|name| !name.is_empty()).find(|start| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
        while let Some(name) = next.pop() {
            next.extend(calls.get(name).into_iter().flatten().filter(|called| seen.insert(**called)));
        }
        seen.contains(start)
    })
}

/// An error of regorus, which shows the line as compilers do, as `policy.rego:3:5: what is wrong`.
fn one_line(error: &anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let after = |mark: &str| text.lines().find_map(|line| line.trim().strip_prefix(mark));
    match (after("--> "), after("error: ")) {
        (Some(place), Some(message)) => anyhow!("{place}: {message}"),
        _ => anyhow!("{}", text.lines().map(str::trim).collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn check(text: &str) -> Result<Vec<Finding>> {
        let input = Value::from_json_str(r#"{"deletes": false, "plan": {"n": 3}}"#)?;
        Rules::parse("policy/own.rego", "/etc/goldpath/policy/own.rego", text.to_owned())?.check(&input)
    }

    fn shown(result: Result<Vec<Finding>>) -> String {
        match result {
            Ok(findings) => {
                let line = |f: &Finding| format!("{:?} {} {} {}", f.severity, f.rule, f.place, f.message);
                findings.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn texts_and_objects_become_findings() {
        let text = "package goldpath.own\n\
            deny contains \"three\" if input.plan.n == 3\n\
            deny contains \"four\" if input.plan.n == 4\n\
            needs_owner contains {\"id\": \"mine\", \"place\": \"gitea_org.team\", \"msg\": sprintf(\"%d of it\", [input.plan.n])}\n\
            warn contains {\"msg\": \"look\"} if not input.deletes\n";
        assert_eq!(shown(check(text)), "Denied own  three\nNeedsOwner mine gitea_org.team 3 of it\nWarning own  look");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line() {
        for (text, fault) in [
            ("deny contains {{\n", ":3:1: expecting expression"),
            ("deny contains \"a\" if {\n  foo(1)\n}", ":3:6: could not find function foo"),
            ("deny contains x if {\n  true\n}", ":2:15: var x is unsafe (path [\"goldpath\", \"x\"], scopes [{}])"),
            ("deny[msg] { msg := \"v0\" }", ":2:11: `if` keyword is required before rule body"),
            ("deny contains \"a\" if http.send({})", ":2:31: could not find function http.send"),
            ("denied contains \"a\"", ": it has no rule `deny`, `needs_owner` or `warn`"),
            (
                "deny contains \"a\" if f(1)\nf(x) := g (x)\n# g(x)\ng(x) := y if {\n  y := f(x)\n}",
                ": the function `f` can come to call itself, which Rego has no room for",
            ),
        ] {
            let found = shown(check(&format!("package goldpath\n{text}")));
            assert_eq!(found, format!("/etc/goldpath/policy/own.rego{fault}"));
        }
        let found = shown(check("package main\ndeny contains \"a\""));
        assert_eq!(found, "/etc/goldpath/policy/own.rego: the package is not `goldpath`, nor under it");
    }

    #[test]
    fn a_rule_that_fails_or_gives_something_else_is_an_error_with_its_file() {
        let file = "/etc/goldpath/policy/own.rego";
        for (text, fault) in [
            (
                "deny contains \"a\" if 1 / (input.plan.n - 3)",
                format!("a rule failed: {file}: {file}:2:24: divide by zero"),
            ),
            (
                "deny if input.plan.n",
                format!("{file}: `data.goldpath.deny` is not a set: write it as in `deny contains message if {{ … }}`"),
            ),
            (
                "deny contains 7",
                format!("{file}: `data.goldpath.deny` holds what is neither a text nor an object with texts as `msg`"),
            ),
            (
                "deny contains {\"msg\": \"a\", \"id\": 7}",
                format!("{file}: `data.goldpath.deny` holds what is neither a text nor an object with texts as `msg`"),
            ),
            (
                "deny contains sprintf(\"%d\", [n]) if some n in numbers.range(0, 1000 * input.plan.n)",
                format!("{file}: `data.goldpath.deny` has 3001 findings, more than 1000"),
            ),
        ] {
            assert_eq!(shown(check(&format!("package goldpath\n{text}"))), fault);
        }
    }

    #[test]
    fn a_rule_that_takes_too_long_or_is_too_long_is_stopped() {
        let text = "package goldpath\ndeny contains \"a\" if {\n  all := numbers.range(1, input.plan.n * 3000)\n  \
            some a in all\n  some b in all\n  some c in all\n  a + b + c == -1\n}\n";
        let mut rules = Rules::parse("own.rego", "own.rego", text.to_owned()).unwrap();
        rules.engine.set_execution_timer_config(ExecutionTimerConfig { limit: Duration::from_millis(50), ..TIME });
        let input = Value::from_json_str(r#"{"plan": {"n": 3}}"#).unwrap();
        let fault = rules.check(&input).unwrap_err();
        assert!(format!("{fault:#}").contains("execution exceeded time limit"), "{fault:#}");
        let fault = check(&format!("package goldpath\n{}", "# long\n".repeat(200_000))).unwrap_err();
        assert!(format!("{fault:#}").contains("exceeds"), "{fault:#}");
    }

    #[test]
    fn threads_can_share_rules() {
        fn is_shared<T: Send + Sync>() {}
        is_shared::<Rules>();
    }
}
