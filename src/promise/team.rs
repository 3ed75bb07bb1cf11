//! Team: a namespace, an organisation, and the people in them.

mod render;
mod request;
mod validated;

use super::Promise;
use crate::config::Config;
use crate::outputs::{Outputs, Unrendered};
use crate::request::Request;
use kube::CustomResourceExt;

/// Team's line in the table.
pub const PROMISE: Promise = Promise {
    name: "team",
    kind: "Team",
    definition: request::Team::crd,
    check: |spec, config| request::parse(spec, config).err().unwrap_or_default(),
    generate,
    id_of: render::id_of,
};

fn generate(request: &Request<'_>, config: &Config) -> Result<Outputs, Unrendered> {
    let spec = request::parse(request.spec, config)?;
    let team = validated::validate(spec, config.propagate.take(&request.labels, &request.annotations), config);
    Ok(render::render(&request.identity, &team)?)
}
