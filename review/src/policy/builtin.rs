//! Goldpath's own rules.

use super::super::changes::{Action, Changes, ResourceChange};
use super::Context;
use crate::finding::{Finding, Severity};
use goldpath::config::review::PolicySettings;
use goldpath::promise;
use goldpath::text::quote;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many names a message lists.
const MAX_NAMES: usize = 20;
/// The attributes that name the organisation, or the user, that a resource belongs to.
const OWNERS: [&str; 7] = ["organisation", "organization", "org", "owner", "repository_owner", "username", "user"];
/// The attributes that name something by its id, and of which type it is; a `repository` that is no number is a name.
const IDS: [(&str, &str); 2] = [("team_id", "gitea_team"), ("repository", "gitea_repository")];
/// The attributes of a repository that say what it is to be a copy of.
const COPIED: [&str; 3] = ["migration_clone_address", "migration_clone_addresse", "source_template"];
/// What is of one repository, whose name is its `name`.
const OF_REPOSITORY: [&str; 2] = ["gitea_repository", "gitea_repository_branch_protection"];
/// What is lost with all that people have in it.
const PRECIOUS: [&str; 3] = ["gitea_org", "gitea_team", "gitea_repository"];
/// Where provider sources without a host come from.
const REGISTRIES: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];
/// What stands for a value that only the apply knows; see [`ResourceChange::after`].
const UNKNOWN: &str = "(known after apply)";

/// What the rules find, in no order.
pub fn check(settings: &PolicySettings, context: &Context<'_>, changes: &Changes, plan: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if context.request.is_none() {
        let message = "no request owns this folder: what is in it was not made by the platform";
        findings.push(finding(Severity::NeedsOwner, "owner", "", message.to_owned()));
    }
    if !context.stray.is_empty() {
        let message =
            format!("the pull request also changes {}: make that a pull request of its own", list(context.stray));
        findings.push(finding(Severity::NeedsOwner, "outside-folder", "", message));
    }
    for provider in configured_providers(plan).filter(|provider| !is_allowed(provider, &settings.providers)) {
        findings.push(finding(Severity::Denied, "provider", "", refused_provider(provider, settings)));
    }
    let own = Own::of(plan, context.request.and_then(|request| promise::repository_of(request, context.module)));
    for change in &changes.resources {
        let mut add = |severity, rule, message| findings.push(finding(severity, rule, &change.address, message));
        if !is_allowed(&change.provider, &settings.providers) {
            add(Severity::Denied, "provider", refused_provider(&change.provider, settings));
        }
        if !settings.resources.iter().any(|kind| matches_kind(kind, &change.kind)) {
            let message = format!("{} is not a type of resource that may be used here", quote(&change.kind));
            add(Severity::Denied, "resource-type", format!("{message}: these are {}", list(&settings.resources)));
        }
        if let Some(message) = in_use(change, context) {
            add(Severity::Denied, "organization-in-use", message);
        }
        if let Some(message) = loss(change) {
            add(Severity::NeedsOwner, "destroy", message);
        } else if change.action == Action::Replace {
            add(Severity::Warning, "replace", "it is destroyed and made again".to_owned());
        } else if change.action == Action::Delete {
            add(Severity::Warning, "destroy-other", "it is destroyed".to_owned());
        }
        if let Some(message) = own.other_organization(change, context) {
            add(Severity::NeedsOwner, "organization", message);
        }
        if change.action == Action::Import {
            add(Severity::NeedsOwner, "import", "it takes over what somebody else made".to_owned());
        } else if let Some(argument) = copied(change) {
            add(Severity::NeedsOwner, "import", format!("it takes over what is elsewhere, by `{argument}`"));
        }
        if !settings.public && is_public(change) {
            let message = "it is public, or may become so, and nothing here may be: make it private";
            add(Severity::Denied, "visibility", message.to_owned());
        }
        if let Some(message) = own.reach(change) {
            add(Severity::Denied, "reach", message);
        }
    }
    findings
}

fn finding(severity: Severity, rule: &str, place: &str, message: String) -> Finding {
    Finding { severity, rule: rule.to_owned(), place: place.to_owned(), message }
}

/// Names as a message lists them: as many as people read.
fn list<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(MAX_NAMES).map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_NAMES {
        text += &format!(" and {} more", names.len() - MAX_NAMES);
    }
    text
}

/// Providers that the code names are checked too: those of data sources change no resource.
fn configured_providers(plan: &Value) -> impl Iterator<Item = &str> {
    let configured = plan["configuration"]["provider_config"].as_object();
    let names = configured.into_iter().flatten().filter_map(|(_, provider)| provider["full_name"].as_str());
    names.collect::<BTreeSet<_>>().into_iter()
}

fn is_allowed(provider: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|source| {
        provider == source
            || provider.split_once('/').is_some_and(|(host, rest)| REGISTRIES.contains(&host) && rest == source)
    })
}

fn refused_provider(provider: &str, settings: &PolicySettings) -> String {
    let allowed = list(&settings.providers);
    format!("{} is not a provider that may be used here: these are {allowed}", quote(provider))
}

fn matches_kind(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |start| kind.starts_with(start))
}

fn in_use(change: &ResourceChange, context: &Context<'_>) -> Option<String> {
    let goes = matches!(change.action, Action::Delete | Action::Replace) && change.kind == "gitea_org";
    let name = change.before["name"].as_str().filter(|_| goes)?;
    let content = context.organizations.get(name).filter(|content| !content.is_empty())?;
    Some(format!("the organisation {} still holds {}: remove these first", quote(name), list(content)))
}

/// The argument by which a repository begins as a copy of another: Gitea fetches it, from anywhere, with rights of its own.
fn copied(change: &ResourceChange) -> Option<&'static str> {
    let is_made = matches!(change.action, Action::Create | Action::Replace) && change.kind == "gitea_repository";
    COPIED.into_iter().find(|argument| is_made && change.after[*argument].as_str().is_some_and(|from| !from.is_empty()))
}

fn loss(change: &ResourceChange) -> Option<String> {
    let what = match change.action {
        Action::Delete => "it is destroyed, with all that is in it",
        Action::Replace => "it is destroyed, with all that is in it, and made again empty",
        Action::Forget => "it stays, and nobody looks after it any more",
        _ => return None,
    };
    PRECIOUS.contains(&change.kind.as_str()).then(|| what.to_owned())
}

/// What is not known to be private counts as public: an expression can hide what it will be.
fn is_public(change: &ResourceChange) -> bool {
    let stays = !matches!(change.action, Action::Delete | Action::Forget);
    let private = match change.kind.as_str() {
        "gitea_org" => matches!(change.after["visibility"].as_str(), Some("private" | "limited")),
        "gitea_repository" => change.after["private"] == Value::Bool(true),
        _ => true,
    };
    stays && !private
}

/// A membership's `username` is a person, and its team says whose it is.
fn owners_of(change: &ResourceChange) -> impl Iterator<Item = &'static str> {
    let is_membership = change.kind.starts_with("gitea_team_member");
    OWNERS.into_iter().filter(move |&name| !(is_membership && name == "username"))
}

/// What is the root module's own: a root module manages nothing else.
struct Own<'p> {
    /// The organisation and the name of the repository that it is, where it is one.
    repository: Option<(String, String)>,
    /// The names of the organisations that it has.
    organizations: BTreeSet<&'p str>,
    /// Those that it will have had it made them, by the addresses of their resources. Such a name can
    /// be somebody else's organisation until Gitea has made ours.
    planned: BTreeMap<&'p str, &'p str>,
    /// The types and ids of the teams and repositories that it has.
    ids: BTreeSet<(&'p str, &'p str)>,
    /// To what each resource of the code refers, by its address.
    references: BTreeMap<&'p str, &'p Value>,
}

impl<'p> Own<'p> {
    fn of(plan: &'p Value, repository: Option<(String, String)>) -> Self {
        let (mut organizations, mut planned, mut ids) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        each_resource(&plan["prior_state"]["values"]["root_module"], &mut |resource| {
            if resource["type"] == "gitea_org" {
                organizations.extend(resource["values"]["name"].as_str());
            } else if let (Some(kind), Some(id)) = (resource["type"].as_str(), resource["values"]["id"].as_str()) {
                ids.insert((kind, id));
            }
        });
        each_resource(&plan["planned_values"]["root_module"], &mut |resource| {
            if let (true, Some(name), Some(address)) =
                (resource["type"] == "gitea_org", resource["values"]["name"].as_str(), resource["address"].as_str())
            {
                planned.insert(name, address);
            }
        });
        let resources = plan["configuration"]["root_module"]["resources"].as_array().into_iter().flatten();
        let references = resources.filter_map(|r| Some((r["address"].as_str()?, &r["expressions"]))).collect();
        Self { repository, organizations, planned, ids, references }
    }

    /// A root module is of one organisation, which has its folder's name: any further one would be made ahead of the request
    /// that asks for it.
    fn other_organization(&self, change: &ResourceChange, context: &Context<'_>) -> Option<String> {
        let is_made = !matches!(change.action, Action::Delete | Action::Forget) && change.kind == "gitea_org";
        let folder = context.module.as_str().rsplit('/').next().unwrap_or_default();
        let name = change.after["name"].as_str().filter(|_| is_made)?;
        let own = match &self.repository {
            Some((_, repository)) => format!("the repository {}", quote(repository)),
            None if name == folder => return None,
            None => quote(folder),
        };
        Some(format!("it makes the organisation {}, and this folder is that of {own}", quote(name)))
    }

    /// Why something in an organisation that a root module does not make is not the one repository of its own.
    fn beside_repository(&self, change: &ResourceChange) -> Option<String> {
        let (_, own) = self.repository.as_ref()?;
        OF_REPOSITORY.contains(&change.kind.as_str()).then_some(())?;
        // The name alone is no proof: whoever proposes the files chooses it, and the repository may be somebody else's.
        let is_protection = change.kind == OF_REPOSITORY[1] && !change.after.is_null();
        if is_protection && !self.refers(change, "name", &OF_REPOSITORY[..1]) {
            return Some("its `name` must be a reference to the repository that this root module makes".to_owned());
        }
        let names = [&change.before["name"], &change.after["name"]];
        let other = names.into_iter().filter(|value| !value.is_null()).find(|value| *value != own.as_str())?;
        Some(format!(
            "it is of the repository {}, and this folder is that of {}",
            quote(other.as_str().unwrap_or(UNKNOWN)),
            quote(own)
        ))
    }

    /// Why a change is, or may be, of somebody else's.
    fn reach(&self, change: &ResourceChange) -> Option<String> {
        // What is let go of is nobody's afterwards.
        if change.action == Action::Forget {
            return None;
        }
        if let Some(message) = self.beside_repository(change) {
            return Some(message);
        }
        let owners = OWNERS.map(|attribute| (attribute, ["gitea_org", "gitea_user"].as_slice()));
        let ids = IDS.each_ref().map(|(attribute, kind)| (*attribute, std::slice::from_ref(kind)));
        let unknown = |(attribute, kinds): &(&'static str, &[&str])| {
            change.after[*attribute] == UNKNOWN && !self.refers(change, attribute, kinds)
        };
        if let Some((attribute, _)) = owners.into_iter().chain(ids).find(unknown) {
            return Some(format!("only the apply knows its `{attribute}`: write a reference to the root module's own"));
        }
        for attribute in owners_of(change) {
            for value in [&change.before[attribute], &change.after[attribute]] {
                if let Some(name) = value.as_str().filter(|name| !name.is_empty() && *name != UNKNOWN)
                    && !self.holds(name, change, attribute)
                {
                    let whose = format!("it is of {}, which is not this root module's organisation", quote(name));
                    return Some(match self.planned.get(name) {
                        None => format!("{whose}: a root module manages its own only"),
                        Some(address) => format!("{whose} yet: write `{attribute} = {address}.name`"),
                    });
                }
            }
        }
        let values = IDS.into_iter().flat_map(|id| [(id, &change.before), (id, &change.after)]);
        values.into_iter().find_map(|((attribute, kind), values)| {
            let id = match &values[attribute] {
                Value::String(id) if attribute == "team_id" && id != UNKNOWN => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => return None,
            };
            let message = format!("its `{attribute}` is {}, which is not one of this root module's", quote(&id));
            (!self.ids.contains(&(kind, id.as_str()))).then_some(message)
        })
    }

    /// Whether the organisation is ours: it is there, or the apply makes it before `change`, and
    /// without it nothing of `change` is done.
    fn holds(&self, name: &str, change: &ResourceChange, attribute: &str) -> bool {
        let refers = |address: &&&str| self.referred(change, attribute).any(|reference| reference == **address);
        let is_of_repository = OF_REPOSITORY.contains(&change.kind.as_str());
        let is_above = self.repository.as_ref().is_some_and(|(organization, _)| organization == name);
        (is_above && is_of_repository) || self.organizations.contains(name) || self.planned.get(name).iter().any(refers)
    }

    /// To what the code of a change's argument refers, as `gitea_org.team.name` and `gitea_org.team`.
    fn referred(&self, change: &ResourceChange, attribute: &str) -> impl Iterator<Item = &Value> {
        let code = change.address.split('[').next().unwrap_or_default();
        let references = self.references.get(code).and_then(|e| e[attribute]["references"].as_array());
        references.into_iter().flatten()
    }

    /// Whether the code of a change's argument refers to resources of these types, and to nothing else.
    fn refers(&self, change: &ResourceChange, attribute: &str, kinds: &[&str]) -> bool {
        let kind = |reference: &Value| reference.as_str().and_then(|r| r.split('.').next()).map(str::to_owned);
        let mut referred = self.referred(change, attribute).peekable();
        referred.peek().is_some() && referred.all(|r| kind(r).is_some_and(|kind| kinds.contains(&kind.as_str())))
    }
}

/// Every managed resource of a module's values, those of the modules in it too.
fn each_resource<'p>(module: &'p Value, each: &mut impl FnMut(&'p Value)) {
    let resources = module["resources"].as_array().into_iter().flatten();
    resources.filter(|resource| resource["mode"] != "data").for_each(&mut *each);
    for child in module["child_modules"].as_array().into_iter().flatten() {
        each_resource(child, each);
    }
}
