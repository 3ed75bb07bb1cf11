//! Rights that somebody gave or took away by hand in Gitea, which no plan shows: a membership is one person's, so that
//! Terraform sees no other, and a team's settings are ignored because the provider reads them otherwise than they were
//! written. So Gitea is compared here with what the root module says.
//!
//! Names are compared as Gitea does, without case. What cannot be asked is an error, never "no difference".

use super::site::Site;
use anyhow::{Context, Result, bail, ensure};
use goldpath::gitea::Gitea;
use goldpath::text::quote;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the provider gives a team that names no units: all of them,
/// <https://registry.terraform.io/providers/go-gitea/gitea/latest/docs/resources/team#optional>.
const UNITS: [&str; 10] = [
    "repo.code",
    "repo.issues",
    "repo.ext_issues",
    "repo.wiki",
    "repo.pulls",
    "repo.releases",
    "repo.projects",
    "repo.ext_wiki",
    "repo.actions",
    "repo.packages",
];
/// From the least to the most.
const LEVELS: [&str; 3] = ["none", "read", "write"];

/// One thing that is otherwise than the root module says; texts of ours, in which names are quoted.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is so, as `` `eve` is in the team `admin` ``.
    pub what: String,
    /// The details, if there are any, and how it is put right.
    pub advice: String,
}

/// A team as the root module says.
struct Written {
    name: String,
    rights: Rights,
    can_create_repos: bool,
    include_all_repositories: bool,
    /// In lower case.
    members: BTreeSet<String>,
}

/// What a team may do in repositories.
#[derive(PartialEq)]
enum Rights {
    Admin,
    /// By unit; one that is not there is `none`.
    Units(BTreeMap<String, String>),
}

/// A team as it is in Gitea, <https://docs.gitea.com/api/#tag/organization/operation/orgListTeams>.
#[derive(Deserialize)]
struct Team {
    id: u64,
    name: String,
    /// `none` below `admin`: then the units decide.
    permission: String,
    #[serde(default)]
    units_map: BTreeMap<String, String>,
    can_create_org_repo: bool,
    includes_all_repositories: bool,
}

#[derive(Deserialize)]
struct Person {
    id: u64,
    login: String,
    #[serde(default)]
    is_admin: bool,
}

/// Compares the organisations that a root module has with what it says; `plan` is the JSON of its plan.
///
/// # Errors
/// Gitea does not answer, or does not show all; a value that a plan does not tell.
pub(super) fn compare(site: &Site<'_>, plan: &Value) -> Result<Vec<Difference>> {
    let written = written(plan)?;
    let mut differences = Vec::new();
    // What is there, under the name that it has now: what is gone or renamed, the plan tells.
    for organization in resources(&plan["prior_state"]["values"], "gitea_org") {
        let name = organization["values"]["name"].as_str().context("the state has an organisation without a name")?;
        let gitea = site.platform()?;
        let own: Person = gitea.get(&["user"], &[])?.context("Gitea does not say whose GITEA_TOKEN is")?;
        let mut teams = Vec::new();
        for team in all::<Team>(gitea, &["orgs", name, "teams"])? {
            let is_compared = team.permission == "owner" || written.contains_key(&team.id);
            let members = match is_compared {
                true => all::<Person>(gitea, &["teams", &team.id.to_string(), "members"])?,
                false => Vec::new(),
            };
            teams.push((team, members));
        }
        let is_owner =
            teams.iter().any(|(team, members)| team.permission == "owner" && members.iter().any(|m| m.id == own.id));
        ensure!(
            own.is_admin || is_owner,
            "{}, whose GITEA_TOKEN is, sees not all teams of {}: make it an administrator",
            quote(&own.login),
            quote(name)
        );
        // The worst comes first: it is what a status has room for.
        teams.sort_by_key(|(team, _)| (team.permission != "owner", written.contains_key(&team.id)));
        differences.extend(differences_of(&written, &teams, &own));
    }
    Ok(differences)
}

/// All of a list, which must be there.
fn all<T: DeserializeOwned>(gitea: &Gitea, path: &[&str]) -> Result<Vec<T>> {
    gitea
        .get_all_of(path, &[])?
        .with_context(|| format!("Gitea does not show {} to the user of GITEA_TOKEN", path.join("/")))
}

fn differences_of(written: &BTreeMap<u64, Written>, teams: &[(Team, Vec<Person>)], own: &Person) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut add = |what: String, advice: &str| differences.push(Difference { what, advice: advice.to_owned() });
    for (team, members) in teams {
        let name = quote(&team.name);
        if team.permission == "owner" {
            for stranger in members.iter().filter(|member| member.id != own.id) {
                let what = format!("{} is in the team {name}", quote(&stranger.login));
                add(what, "nobody else than the platform is to be there: take them out by hand");
            }
            continue;
        }
        let Some(written) = written.get(&team.id) else {
            add(format!("there is a further team {name}"), "delete it by hand");
            continue;
        };
        let others = written.others(team);
        if !others.is_empty() {
            let advice = format!("{}: set it back by hand", others.join(", "));
            add(format!("the team {} has other rights", quote(&written.name)), &advice);
        }
        let there: BTreeSet<_> = members.iter().map(|member| member.login.to_lowercase()).collect();
        for stranger in members.iter().filter(|member| !written.members.contains(&member.login.to_lowercase())) {
            let what = format!("{} is in the team {name}", quote(&stranger.login));
            add(what, "add them to the request, or take them out by hand");
        }
        for missing in written.members.difference(&there) {
            let what = format!("{} is not in the team {name}", quote(missing));
            add(what, "take them out of the request, or put them back by hand");
        }
    }
    differences
}

impl Written {
    /// What of a team's settings is otherwise, as `` `permission` is `admin` instead of `read` ``.
    fn others(&self, team: &Team) -> Vec<String> {
        let mut others = Vec::new();
        let mut compare = |what: &str, is: &str, written: &str| {
            if is != written {
                others.push(format!("`{what}` is {} instead of {}", quote(is), quote(written)));
            }
        };
        if team.name.to_lowercase() != self.name.to_lowercase() {
            compare("name", &team.name, &self.name);
        }
        match (Rights::of(team), &self.rights) {
            (Rights::Units(are), Rights::Units(written)) => {
                let units: BTreeSet<_> = are.keys().chain(written.keys()).collect();
                for unit in units {
                    compare(
                        unit,
                        are.get(unit).map_or("none", String::as_str),
                        written.get(unit).map_or("none", String::as_str),
                    );
                }
            }
            (are, written) => compare("permission", are.most(), written.most()),
        }
        compare("can_create_repos", &team.can_create_org_repo.to_string(), &self.can_create_repos.to_string());
        let (is, written) = (team.includes_all_repositories, self.include_all_repositories);
        compare("include_all_repositories", &is.to_string(), &written.to_string());
        others
    }
}

impl Rights {
    fn of(team: &Team) -> Self {
        match team.permission.as_str() {
            "admin" | "owner" => Self::Admin,
            _ => Self::units(team.units_map.iter().map(|(unit, level)| (unit.as_str(), level.as_str()))),
        }
    }

    /// As Gitea means them: outside trackers and wikis can be seen, and no more.
    fn units<'a>(units: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let level =
            |unit: &str, level: &str| if unit.contains(".ext_") && level != "none" { "read" } else { level }.to_owned();
        let units = units.map(|(unit, own)| (unit.to_owned(), level(unit, own)));
        Self::Units(units.filter(|(_, level)| level != "none").collect())
    }

    /// In a word.
    fn most(&self) -> &str {
        match self {
            Self::Admin => "admin",
            Self::Units(units) => {
                let most = units.values().filter_map(|own| LEVELS.iter().position(|level| level == own)).max();
                LEVELS[most.unwrap_or_default()]
            }
        }
    }
}

/// The resources of one type in a plan's values; a root module has no others in it.
fn resources<'p>(values: &'p Value, kind: &'static str) -> impl Iterator<Item = &'p Value> {
    let resources = values["root_module"]["resources"].as_array().into_iter().flatten();
    resources.filter(move |resource| resource["type"] == kind && resource["mode"] == "managed")
}

/// The teams of a root module that are there, by their ids.
///
/// Their settings are read from the code: where it ignores changes, what is planned is what is there.
fn written(plan: &Value) -> Result<BTreeMap<u64, Written>> {
    let code = plan["configuration"]["root_module"]["resources"].as_array().into_iter().flatten();
    let code: BTreeMap<_, _> = code.filter_map(|r| Some((r["address"].as_str()?, &r["expressions"]))).collect();
    let mut teams = BTreeMap::new();
    for team in resources(&plan["prior_state"]["values"], "gitea_team") {
        let address = team["address"].as_str().unwrap_or_default();
        let Some(expressions) = code.get(address.split('[').next().unwrap_or_default()) else { continue };
        let id = team["values"]["id"].as_str().and_then(|id| id.parse().ok());
        teams.insert(id.with_context(|| format!("`{address}` has no id"))?, written_team(address, expressions)?);
    }
    let mut add = |team: &Value, member: &Value| {
        let team: Option<&mut Written> = team.as_u64().and_then(|id| teams.get_mut(&id));
        if let (Some(team), Some(name)) = (team, member.as_str()) {
            team.members.insert(name.to_lowercase());
        }
    };
    for membership in resources(&plan["planned_values"], "gitea_team_membership") {
        add(&membership["values"]["team_id"], &membership["values"]["username"]);
    }
    for members in resources(&plan["planned_values"], "gitea_team_members") {
        let names = members["values"]["members"].as_array().into_iter().flatten();
        names.for_each(|name| add(&members["values"]["team_id"], name));
    }
    Ok(teams)
}

fn written_team(address: &str, expressions: &Value) -> Result<Written> {
    let value = |name: &str| match &expressions[name] {
        Value::Null => Ok(None),
        expression => match expression.get("constant_value") {
            Some(value) => Ok(Some(value)),
            None => bail!(
                "the value of `{name}` of `{address}` is in no plan: write it in so many words, not as an expression"
            ),
        },
    };
    let text = |name: &str| Ok::<_, anyhow::Error>(value(name)?.and_then(Value::as_str).unwrap_or_default());
    let flag = |name: &str| Ok::<_, anyhow::Error>(value(name)?.and_then(Value::as_bool).unwrap_or(true));
    let (permission, list) = (text("permission")?, value("units")?.and_then(Value::as_str));
    let map = value("units_map")?.and_then(Value::as_object).filter(|map| !map.is_empty());
    let rights = match (permission, map) {
        ("admin" | "owner", _) => Rights::Admin,
        (_, Some(map)) => Rights::units(map.iter().filter_map(|(unit, level)| Some((unit.as_str(), level.as_str()?)))),
        // The provider looks for their names in this text.
        _ => {
            let units = UNITS.into_iter().filter(|unit| list.is_none_or(|list| list.contains(unit)));
            Rights::units(units.map(|unit| (unit, permission)))
        }
    };
    Ok(Written {
        name: text("name")?.to_owned(),
        rights,
        can_create_repos: flag("can_create_repos")?,
        include_all_repositories: flag("include_all_repositories")?,
        members: BTreeSet::new(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    /// A plan of two teams that are there, as Terraform 1.11 tells it, shortened: `ignore_changes` has it plan what is there.
    fn plan() -> Value {
        let team = |name: &str, id: &str| {
            let values = json!({"id": id, "name": name, "permission": "none", "can_create_repos": true});
            json!({"address": format!("gitea_team.{name}"), "mode": "managed", "type": "gitea_team", "values": values})
        };
        let member = |team: u64, name: &str| {
            let values = json!({"team_id": team, "username": name});
            json!({"address": "gitea_team_membership.x", "mode": "managed", "type": "gitea_team_membership", "values": values})
        };
        let code = |name: &str, permission: &str, creates: bool| {
            let constant = |value: Value| json!({"constant_value": value});
            let expressions = json!({
                "name": constant(name.into()), "permission": constant(permission.into()),
                "can_create_repos": constant(creates.into()), "organisation": {"references": ["gitea_org.team.name"]},
            });
            json!({"address": format!("gitea_team.{name}"), "expressions": expressions})
        };
        let set =
            json!({"mode": "managed", "type": "gitea_team_members", "values": {"team_id": 7, "members": ["Grace"]}});
        json!({
            "prior_state": {"values": {"root_module": {"resources": [team("admin", "6"), team("viewer", "7")]}}},
            "planned_values": {"root_module": {"resources": [member(6, "Ada"), member(7, "bob"), member(9, "eve"), set]}},
            "configuration": {"root_module": {"resources": [code("admin", "admin", true), code("viewer", "read", false)]}},
        })
    }

    fn people(names: &[&str]) -> Vec<Person> {
        let person = |name: &&str| Person { id: name.len() as u64, login: (*name).to_owned(), is_admin: false };
        names.iter().map(person).collect()
    }

    fn team(id: u64, name: &str, permission: &str, units: Value, creates: bool) -> Team {
        let units_map = serde_json::from_value(units).unwrap();
        let (name, permission) = (name.to_owned(), permission.to_owned());
        Team { id, name, permission, units_map, can_create_org_repo: creates, includes_all_repositories: true }
    }

    fn all_units(level: &str) -> Value {
        UNITS.iter().map(|unit| ((*unit).to_owned(), level.into())).collect::<serde_json::Map<_, _>>().into()
    }

    fn differences(plan: &Value, viewer: Team, members: &[&str]) -> Vec<String> {
        let teams = [
            (team(1, "Owners", "owner", json!({}), true), people(&["platform"])),
            (team(6, "Admin", "admin", all_units("admin"), true), people(&["ADA"])),
            (viewer, people(members)),
        ];
        let own = Person { id: 8, login: "renamed".to_owned(), is_admin: true };
        let found = differences_of(&written(plan).unwrap(), &teams, &own);
        found.into_iter().map(|difference| format!("{}: {}", difference.what, difference.advice)).collect()
    }

    #[test]
    fn what_is_written_in_another_case_or_form_is_the_same() {
        let viewer = team(7, "VIEWER", "none", all_units("read"), false);
        assert_eq!(differences(&plan(), viewer, &["BOB", "grace"]), [""; 0]);
        let mut plan = plan();
        let code = &mut plan["configuration"]["root_module"]["resources"][1]["expressions"];
        code["permission"]["constant_value"] = "write".into();
        code["units"] = json!({"constant_value": "[repo.code, repo.ext_wiki]"});
        for wiki in ["read", "write"] {
            let units = json!({"repo.code": "write", "repo.ext_wiki": wiki, "repo.pulls": "none"});
            assert_eq!(differences(&plan, team(7, "viewer", "none", units, false), &["bob", "grace"]), [""; 0]);
        }
        let code = &mut plan["configuration"]["root_module"]["resources"][1]["expressions"];
        code["units_map"] = json!({"constant_value": {"repo.pulls": "read"}});
        let units = json!({"repo.pulls": "read"});
        assert_eq!(differences(&plan, team(7, "viewer", "none", units, false), &["bob", "grace"]), [""; 0]);
    }

    #[test]
    fn each_right_that_is_otherwise_is_told() {
        let mut units = all_units("read");
        units["repo.code"] = "write".into();
        units.as_object_mut().unwrap().remove("repo.packages");
        let mut viewer = team(7, "other", "none", units, true);
        viewer.includes_all_repositories = false;
        let others = "the team `viewer` has other rights: `name` is `other` instead of `viewer`, \
                      `repo.code` is `write` instead of `read`, `repo.packages` is `none` instead of `read`, \
                      `can_create_repos` is `true` instead of `false`, \
                      `include_all_repositories` is `false` instead of `true`: set it back by hand";
        assert_eq!(differences(&plan(), viewer, &["bob", "grace"]), [others]);
        let lowered = team(6, "admin", "none", all_units("write"), true);
        let written = written(&plan()).unwrap();
        assert_eq!(written[&6].others(&lowered), ["`permission` is `write` instead of `admin`"]);
        let owners = [(team(1, "renamed", "owner", json!({}), true), people(&["a`\u{202e}"]))];
        let told = differences_of(&written, &owners, &people(&["platform"])[0]);
        assert_eq!(told[0].what, r"`a\u{60}\u{202e}` is in the team `renamed`");
    }

    #[test]
    fn a_value_that_no_plan_tells_is_an_error() {
        let mut plan = plan();
        plan["configuration"]["root_module"]["resources"][0]["expressions"]["permission"] =
            json!({"references": ["local.x"]});
        let error = written(&plan).err().unwrap().to_string();
        let expected = "the value of `permission` of `gitea_team.admin` is in no plan: write it in so many words, not as an expression";
        assert_eq!(error, expected);
    }
}
