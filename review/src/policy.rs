//! The rules that a plan must keep: ours, and the platform's own.

mod builtin;
mod rego;

use super::changes::Changes;
use crate::finding::{Finding, Severity};
use anyhow::{Context as _, Result};
use goldpath::config::review::{NOT_WAIVED, PolicySettings, Waiver};
use goldpath::names::RootModule;
use goldpath::request::Identity;
use jiff::Timestamp;
use rego::Rules;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What rules look at beside the plan.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Which root module is planned.
    pub module: &'a RootModule,
    /// The request that owns its folder by the inventory.
    pub request: Option<&'a Identity>,
    /// Whether all of it is to be destroyed.
    pub deletes: bool,
    /// What organisations that are to be destroyed still hold: names of repositories and packages.
    pub organizations: &'a BTreeMap<String, Vec<String>>,
    /// The paths that the pull request changes outside of one request's folder.
    pub stray: &'a [String],
    /// When a waiver must hold.
    pub now: Timestamp,
}

/// The rules of a platform, ready to be checked; threads can share it.
pub struct Policy<'a> {
    settings: &'a PolicySettings,
    rules: Vec<Rules>,
}

impl<'a> Policy<'a> {
    /// Reads and compiles the platform's own rules.
    ///
    /// # Errors
    /// A file that is not there or not right, with the line.
    pub fn new(settings: &'a PolicySettings) -> Result<Self> {
        let read = |file: &goldpath::config::NamedFile| {
            let text = String::from_utf8(file.read()?).with_context(|| format!("{file} is not UTF-8"))?;
            Rules::parse(file.name(), &file.to_string(), text)
        };
        let rules =
            settings.rules.iter().map(read).collect::<Result<_>>().context("cannot use the platform's rules")?;
        Ok(Self { settings, rules })
    }

    /// What the rules find in a plan: its changes, and `plan`, all that `terraform show -json`
    /// prints, which the platform's own rules get. The worst comes first; nothing comes twice.
    ///
    /// # Errors
    /// A rule of the platform's that fails or takes too long: then nothing is known of the plan.
    pub fn check(&self, context: &Context<'_>, changes: &Changes, plan: &Value) -> Result<Vec<Finding>> {
        let mut findings = builtin::check(self.settings, context, changes, plan);
        if !self.rules.is_empty() {
            let request = context.request.map(|r| json!({"kind": r.kind, "namespace": r.namespace, "name": r.name}));
            let input = json!({"module": context.module, "request": request, "deletes": context.deletes, "plan": plan});
            let input = regorus::Value::from(input);
            for rules in &self.rules {
                findings.extend(rules.check(&input)?);
            }
        }
        let mut findings: Vec<_> = findings.into_iter().map(|finding| self.waive(finding, context)).collect();
        findings.sort();
        findings.dedup();
        Ok(findings)
    }

    fn waive(&self, finding: Finding, context: &Context<'_>) -> Finding {
        let holds = |waiver: &&Waiver| {
            waiver.rule == finding.rule
                && waiver.module == *context.module
                && waiver.until.is_none_or(|until| context.now <= until)
        };
        let stops = matches!(finding.severity, Severity::Denied | Severity::NeedsOwner);
        match self.settings.waivers.iter().find(holds) {
            Some(waiver) if stops && !NOT_WAIVED.contains(&finding.rule.as_str()) => {
                let until = waiver.until.map(|t| t.strftime(" until %Y-%m-%d %H:%M UTC").to_string());
                let message = format!("{} (waived{}: {})", finding.message, until.unwrap_or_default(), waiver.reason);
                Finding { severity: Severity::Waived, message, ..finding }
            }
            _ => finding,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::changes::{Action, ResourceChange};
    use super::*;

    const GITEA: &str = "registry.terraform.io/go-gitea/gitea";

    /// A plan as JSON whose state holds one organisation and one team, and whose code makes another.
    fn plan() -> Value {
        let org = |name: &str, address: &str| json!({"type": "gitea_org", "mode": "managed", "address": address, "name": "team", "values": {"name": name}});
        let team = json!({"type": "gitea_team", "mode": "managed", "address": "gitea_team.admin", "name": "admin", "values": {"id": "7"}});
        let refers = |to: &str| json!({"organisation": {"references": [format!("{to}.name"), to]}});
        json!({
            "prior_state": {"values": {"root_module": {"resources": [org("alpha", "gitea_org.team"), team]}}},
            "planned_values": {"root_module": {"resources": [
                org("alpha", "gitea_org.team"), org("new", "gitea_org.more"),
                {"type": "gitea_org", "mode": "data", "address": "data.gitea_org.x", "name": "x", "values": {"name": "beta"}},
            ]}},
            "configuration": {
                "provider_config": {"gitea": {"full_name": GITEA}},
                "root_module": {"resources": [
                    {"address": "gitea_team.admin", "expressions": refers("gitea_org.team")},
                    {"address": "gitea_team.more", "expressions": refers("gitea_org.more")},
                ]},
            },
        })
    }

    fn change(action: Action, address: &str, before: Value, after: Value) -> ResourceChange {
        let kind = address.split('.').next().unwrap_or_default().to_owned();
        ResourceChange { address: address.to_owned(), kind, provider: GITEA.to_owned(), action, before, after }
    }

    struct Case {
        settings: PolicySettings,
        owned: bool,
        /// The root module, and whose it is.
        whose: (&'static str, &'static str),
        content: Vec<String>,
        stray: Vec<String>,
        plan: Value,
        now: &'static str,
    }

    impl Case {
        fn new() -> Self {
            let settings = PolicySettings { resources: vec!["gitea_*".to_owned()], ..PolicySettings::default() };
            let (content, stray) = (Vec::new(), Vec::new());
            Self {
                settings,
                owned: true,
                whose: ("teams/alpha", "Team default/alpha"),
                content,
                stray,
                plan: plan(),
                now: "2027-01-31T12:00:00Z",
            }
        }

        fn check(&self, changes: Vec<ResourceChange>) -> Vec<Finding> {
            let identity: Identity = self.whose.1.parse().unwrap();
            let context = Context {
                module: &RootModule::parse(self.whose.0).unwrap(),
                request: self.owned.then_some(&identity),
                deletes: false,
                organizations: &BTreeMap::from([("alpha".to_owned(), self.content.clone())]),
                stray: &self.stray,
                now: self.now.parse().unwrap(),
            };
            let changes = Changes { resources: changes, ..Changes::default() };
            Policy::new(&self.settings).unwrap().check(&context, &changes, &self.plan).unwrap()
        }

        /// The severities and rules of what is found.
        fn found(&self, change: ResourceChange) -> Vec<(Severity, String)> {
            self.check(vec![change]).into_iter().map(|finding| (finding.severity, finding.rule)).collect()
        }
    }

    fn rules<const N: usize>(rules: [(Severity, &str); N]) -> Vec<(Severity, String)> {
        rules.into_iter().map(|(severity, rule)| (severity, rule.to_owned())).collect()
    }

    fn org(action: Action) -> ResourceChange {
        let value = json!({"name": "alpha", "visibility": "public"});
        let after = if action == Action::Delete { Value::Null } else { value.clone() };
        change(action, "gitea_org.team", value, after)
    }

    #[test]
    fn what_people_have_work_in_is_destroyed_only_by_an_owner_of_the_platform() {
        let case = Case::new();
        for action in [Action::Delete, Action::Replace, Action::Forget] {
            assert_eq!(case.found(org(action)), rules([(Severity::NeedsOwner, "destroy")]));
        }
        assert_eq!(case.found(org(Action::Update)), []);
        let membership =
            |action| change(action, "gitea_team_membership.admin[\"ada\"]", json!({"team_id": 7}), Value::Null);
        assert_eq!(case.found(membership(Action::Delete)), rules([(Severity::Warning, "destroy-other")]));
        assert_eq!(case.found(membership(Action::Replace)), rules([(Severity::Warning, "replace")]));
    }

    #[test]
    fn an_organisation_that_holds_something_stays() {
        let mut case = Case::new();
        case.content = (1..=22).map(|n| format!("r{n}")).collect();
        let expected = rules([(Severity::Denied, "organization-in-use"), (Severity::NeedsOwner, "destroy")]);
        assert_eq!(case.found(org(Action::Delete)), expected);
        let message = &case.check(vec![org(Action::Delete)])[0].message;
        assert!(
            message.contains("`alpha` still holds `r1`, `r2`") && message.contains("`r20` and 2 more"),
            "{message}"
        );
        assert_eq!(case.found(org(Action::Update)), []);
    }

    #[test]
    fn only_allowed_providers_and_resources_are_used() {
        let mut case = Case::new();
        let with = |provider: &str| ResourceChange { provider: provider.to_owned(), ..org(Action::Create) };
        for right in ["registry.opentofu.org/go-gitea/gitea", GITEA] {
            assert_eq!(case.found(with(right)), []);
        }
        for wrong in ["registry.terraform.io/evil/gitea", "evil.example/go-gitea/gitea", "a/go-gitea/gitea/gitea"] {
            assert_eq!(case.found(with(wrong)), rules([(Severity::Denied, "provider")]));
        }
        case.settings.resources = PolicySettings::default().resources;
        let key = change(Action::Create, "gitea_repository_key.x", Value::Null, json!({"repository": "own"}));
        assert_eq!(case.found(key), rules([(Severity::Denied, "resource-type")]));
        assert_eq!(case.found(org(Action::Create)), []);
        case.plan["configuration"]["provider_config"]["http"] =
            json!({"full_name": "registry.terraform.io/hashicorp/http"});
        assert_eq!(case.found(org(Action::Create)), rules([(Severity::Denied, "provider")]));
    }

    #[test]
    fn nothing_is_public_where_nothing_may_be() {
        let mut case = Case::new();
        case.settings.public = false;
        let denied = rules([(Severity::Denied, "visibility")]);
        let repository = |private| {
            let after = json!({"username": "alpha", "private": private});
            change(Action::Create, "gitea_repository.x", Value::Null, after)
        };
        assert_eq!(case.found(org(Action::Update)), denied);
        assert_eq!(case.found(repository(json!(false))), denied);
        assert_eq!(case.found(repository(json!("(known after apply)"))), denied);
        assert_eq!(case.found(repository(json!(true))), []);
        assert_eq!(case.found(ResourceChange { after: json!({"visibility": "limited"}), ..org(Action::Update) }), []);
        assert_eq!(case.found(org(Action::Delete)), rules([(Severity::NeedsOwner, "destroy")]));
    }

    #[test]
    fn what_no_request_owns_and_what_lies_elsewhere_needs_an_owner() {
        let mut case = Case::new();
        case.stray = vec!["README.md".to_owned()];
        case.owned = false;
        let found = case.check(Vec::new());
        let message = "the pull request also changes `README.md`: make that a pull request of its own";
        assert_eq!((found.len(), found[0].rule.as_str(), found[0].message.as_str()), (2, "outside-folder", message));
        assert_eq!((found[1].rule.as_str(), found[1].severity), ("owner", Severity::NeedsOwner));
    }

    #[test]
    fn what_somebody_else_made_is_taken_over_only_by_an_owner_of_the_platform() {
        assert_eq!(Case::new().found(org(Action::Import)), rules([(Severity::NeedsOwner, "import")]));
        assert_eq!(Case::new().found(org(Action::Create)), []);
    }

    #[test]
    fn a_root_module_reaches_its_own_organisation_only() {
        let case = Case::new();
        let denied = rules([(Severity::Denied, "reach")]);
        let make = |address: &str, after| change(Action::Create, address, Value::Null, after);
        let team = |address: &str, name: &str| make(address, json!({"organisation": name}));
        assert_eq!(case.found(team("gitea_team.admin", "alpha")), []);
        assert_eq!(case.found(team("gitea_team.admin", "beta")), denied);
        assert_eq!(case.found(make("gitea_repository.x", json!({"username": "beta"}))), denied);
        let moved = change(
            Action::Update,
            "gitea_team.admin",
            json!({"organisation": "beta"}),
            json!({"organisation": "alpha"}),
        );
        assert_eq!(case.found(moved), denied);
        // Whoever writes the name of somebody else's organisation twice makes the one, which fails, and not the other.
        assert_eq!(case.found(team("gitea_team.more[\"x\"]", "new")), []);
        assert_eq!(case.found(team("gitea_team.admin", "new")), denied);
        let member = |team: Value| make("gitea_team_membership.x", json!({"team_id": team, "username": "ada"}));
        assert_eq!(case.found(member(json!(7))), []);
        assert_eq!(case.found(member(json!(8))), denied);
        let key = |repository: Value| make("gitea_repository_key.x", json!({"repository": repository}));
        assert_eq!(case.found(key(json!(7))), denied, "it is a team's id");
        assert_eq!(case.found(key(json!("own"))), []);
    }

    #[test]
    fn a_root_module_of_an_application_is_its_repository_only() {
        let denied = rules([(Severity::Denied, "reach")]);
        let mut case = Case::new();
        case.plan["prior_state"] = Value::Null;
        let make = |kind: &str, after| change(Action::Create, &format!("{kind}.x"), Value::Null, after);
        let protection = "gitea_repository_branch_protection";
        let refers = json!({"name": {"references": ["gitea_repository.x.name", "gitea_repository.x"]}});
        let code = json!([{"address": format!("{protection}.x"), "expressions": refers}]);
        case.plan["configuration"]["root_module"]["resources"] = code;
        let both = |organization: &str, name: &str| {
            let after = json!({"username": organization, "name": name, "private": true});
            [make("gitea_repository", after.clone()), make(protection, after)]
        };
        case.whose = ("systems/alpha/shop", "Application people/shop");
        both("alpha", "shop").into_iter().for_each(|own| assert_eq!(case.found(own), []));
        for (organization, name) in
            [("beta", "shop"), ("alpha", "other"), ("alpha", "(known after apply)"), ("shop", "shop")]
        {
            both(organization, name).into_iter().for_each(|other| assert_eq!(case.found(other), denied));
        }
        assert_eq!(case.found(make("gitea_team", json!({"organisation": "alpha", "name": "shop"}))), denied);
        // Of a repository that is there already, whose it may be, by its name alone.
        let forged = json!({"username": "alpha", "name": "shop"});
        let forged = change(Action::Create, &format!("{protection}.forged"), Value::Null, forged);
        assert_eq!(case.found(forged), denied);
        let organization = case.found(make("gitea_org", json!({"name": "shop"})));
        assert_eq!(organization, rules([(Severity::NeedsOwner, "organization")]));
        let renamed = |before: &str, after: &str| {
            let values = |name: &str| json!({"username": "alpha", "name": name, "private": true});
            change(Action::Update, "gitea_repository.x", values(before), values(after))
        };
        assert_eq!(case.found(renamed("other", "shop")), denied);
        assert_eq!(case.found(renamed("shop", "other")), denied);
        // Somebody has given it away in Gitea: it is let go of, and not destroyed there.
        let moved = json!({"username": "beta", "name": "shop"});
        let gone = |action| change(action, "gitea_repository.x", moved.clone(), Value::Null);
        assert_eq!(case.found(gone(Action::Forget)), rules([(Severity::NeedsOwner, "destroy")]));
        let expected = rules([(Severity::Denied, "reach"), (Severity::NeedsOwner, "destroy")]);
        assert_eq!(case.found(gone(Action::Delete)), expected);
        for copied in ["migration_clone_address", "source_template"] {
            let after =
                json!({"username": "alpha", "name": "shop", "private": true, copied: "https://elsewhere.example/a"});
            assert_eq!(case.found(make("gitea_repository", after)), rules([(Severity::NeedsOwner, "import")]));
        }
        // Neither is it another's.
        for whose in [
            ("systems/alpha/shop", "Application people/other"),
            ("systems/alpha/shop", "Team default/shop"),
            ("teams/shop", "Application people/shop"),
            ("systems/shop", "Application people/shop"),
        ] {
            case.whose = whose;
            both("alpha", "shop").into_iter().for_each(|own| assert_eq!(case.found(own), denied, "{whose:?}"));
        }
    }

    #[test]
    fn what_only_the_apply_knows_is_a_reference_to_the_root_modules_own() {
        let found = |kind: &str, argument: &str, references: &[&str]| {
            let mut case = Case::new();
            let resources = case.plan["configuration"]["root_module"]["resources"].as_array_mut().unwrap();
            resources
                .push(json!({"address": format!("{kind}.x"), "expressions": {argument: {"references": references}}}));
            let after = json!({argument: "(known after apply)"});
            case.found(change(Action::Create, &format!("{kind}.x[\"ada\"]"), Value::Null, after))
        };
        let denied = rules([(Severity::Denied, "reach")]);
        let member = |references: &[&str]| found("gitea_team_membership", "team_id", references);
        assert_eq!(member(&["gitea_team.admin.id", "gitea_team.admin"]), []);
        for other in [&["gitea_org.team.id", "gitea_org.team"][..], &["gitea_team.a.id", "local.b"], &[]] {
            assert_eq!(member(other), denied, "{other:?}");
        }
        assert_eq!(found("gitea_team", "organisation", &["gitea_org.team.name", "gitea_org.team"]), []);
        assert_eq!(found("gitea_team", "organisation", &["gitea_team.a.id", "gitea_team.a"]), denied);
        assert_eq!(found("gitea_team_membership", "username", &["local.a"]), denied);
    }

    #[test]
    fn a_root_module_makes_the_organisation_of_its_folder_only() {
        let case = Case::new();
        let named = |name: Value| ResourceChange { after: json!({"name": name}), ..org(Action::Create) };
        assert_eq!(case.found(named(json!("alpha"))), []);
        let other = rules([(Severity::NeedsOwner, "organization")]);
        assert_eq!(case.found(named(json!("beta"))), other);
        assert_eq!(case.found(named(json!("(known after apply)"))), other);
        let expected = rules([(Severity::NeedsOwner, "destroy")]);
        assert_eq!(case.found(ResourceChange { before: json!({"name": "beta"}), ..org(Action::Delete) }), expected);
    }

    #[test]
    fn a_waiver_holds_for_its_rule_and_module_until_its_end() {
        let waiver = |rule: &str, module: &str| Waiver {
            rule: rule.to_owned(),
            module: RootModule::parse(module).unwrap(),
            until: Some("2027-01-31T23:59:59Z".parse().unwrap()),
            reason: "it moves".to_owned(),
        };
        let mut case = Case::new();
        let stays = rules([(Severity::NeedsOwner, "destroy")]);
        for other in [waiver("reach", "teams/alpha"), waiver("destroy", "teams/beta")] {
            case.settings.waivers = vec![other];
            assert_eq!(case.found(org(Action::Delete)), stays);
        }
        case.settings.waivers.push(waiver("destroy", "teams/alpha"));
        let found = &case.check(vec![org(Action::Delete)])[0];
        let message = "it is destroyed, with all that is in it (waived until 2027-01-31 23:59 UTC: it moves)";
        assert_eq!((found.severity, found.message.as_str()), (Severity::Waived, message));
        case.now = "2027-02-01T00:00:00Z";
        assert_eq!(case.found(org(Action::Delete)), stays);
        case.settings.waivers[1].until = None;
        assert_eq!(case.found(org(Action::Delete)), rules([(Severity::Waived, "destroy")]));
    }

    #[test]
    fn no_waiver_covers_what_cannot_be_reviewed() {
        for rule in NOT_WAIVED {
            let module = RootModule::parse("teams/alpha").unwrap();
            let waiver = Waiver { rule: rule.to_owned(), module: module.clone(), until: None, reason: "x".to_owned() };
            let policy_settings = PolicySettings { waivers: vec![waiver], ..PolicySettings::default() };
            let (organizations, now) = (BTreeMap::new(), Timestamp::UNIX_EPOCH);
            let context = Context {
                module: &module,
                request: None,
                deletes: false,
                organizations: &organizations,
                stray: &[],
                now,
            };
            let (rule, place, message) = (rule.to_owned(), String::new(), String::new());
            let finding = Finding { severity: Severity::Denied, rule, place, message };
            assert_eq!(Policy::new(&policy_settings).unwrap().waive(finding.clone(), &context), finding);
        }
    }

    #[test]
    fn the_example_of_own_rules_finds_what_it_says() {
        let case = |plan: Value| {
            let text = include_str!("../../pipelines/gitea/policy/example.rego");
            let rules = vec![Rules::parse("example.rego", "example.rego", text.to_owned()).unwrap()];
            let settings = PolicySettings::default();
            let module = RootModule::parse("teams/alpha").unwrap();
            let identity: Identity = "Team default/alpha".parse().unwrap();
            let organizations = BTreeMap::new();
            let context = Context {
                module: &module,
                request: Some(&identity),
                deletes: false,
                organizations: &organizations,
                stray: &[],
                now: Timestamp::UNIX_EPOCH,
            };
            let found = Policy { settings: &settings, rules }.check(&context, &Changes::default(), &plan).unwrap();
            found.into_iter().map(|f| (f.severity, f.rule, f.place)).collect::<Vec<_>>()
        };
        let resource = |kind: &str, name: &str| {
            let address = format!("{kind}.{name}");
            json!({"type": kind, "name": name, "address": address, "values": {"name": "tmp-x"}})
        };
        let planned = |resources: Vec<Value>| json!({"planned_values": {"root_module": {"resources": resources}}});
        let mut faulty = planned(vec![resource("gitea_org", "team"), resource("gitea_team", "admin")]);
        faulty["resource_changes"] = vec![json!({"change": {"actions": ["create"]}}); 51].into();
        let found = |severity, rule: &str, place: &str| (severity, rule.to_owned(), place.to_owned());
        assert_eq!(
            case(faulty),
            [
                found(Severity::Denied, "temporary-name", "gitea_org.team"),
                found(Severity::NeedsOwner, "no-admin", "gitea_team.admin"),
                found(Severity::Warning, "large", ""),
            ]
        );
        assert_eq!(
            case(planned(vec![resource("gitea_team", "admin"), resource("gitea_team_membership", "admin")])),
            []
        );
        assert_eq!(case(json!({})), []);
    }
}
