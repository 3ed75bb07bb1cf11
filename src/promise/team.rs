//! Team: a namespace, an organisation, and the people in them.

pub(super) mod render;
pub(super) mod request;
mod validated;

use super::Promise;
use crate::api::Api;
use crate::config::Config;
use crate::known::{Known, Need, Stop};
use crate::names::{Kind, TeamId};
use crate::outputs::{Outputs, Role};
use crate::request::Request;

/// Team's line in the table.
pub const PROMISE: Promise = Promise {
    name: "team",
    kind: KIND,
    plural: "teams",
    short_name: "tm",
    about: "A team of people: its namespace, its organisation in Gitea, its entry in the catalog",
    columns: &[("Id", ".spec.id"), ("Email", ".status.email"), ("Message", ".status.message")],
    spec: request::TeamSpec::schema,
    check: |spec, config| request::parse(spec, config).err().unwrap_or_default(),
    generate,
    id: "spec.id",
    fixed: "spec.id",
    name_schema: None,
    is_of_platform: false,
    roles: &Role::ALL,
    is_repository: false,
    holds: Some(|id| format!("systems/{id}")),
    remembers: false,
    refers_to: &[KIND],
    used_by: &[],
    pace: |_| (1, 60),
    names: |_| Vec::new(),
    place_of: render::place_of,
};

const KIND: &str = "Team";

/// Who needs a Team.
pub(super) fn need_of(id: &TeamId) -> Need {
    Need::Request { kind: Kind::parse(KIND).expect("a constant"), id: id.to_string() }
}

fn generate(request: &Request<'_>, known: &Known, config: &Config) -> Result<Outputs, Stop> {
    let spec = request::parse(request.spec, config)?;
    let relations = spec.relations();
    let warnings = known.warnings(&relations)?;
    let team = validated::validate(spec, config.propagate.take(&request.labels, &request.annotations), config);
    Ok(Outputs { relations, warnings, ..render::render(&request.identity, &team)? })
}
