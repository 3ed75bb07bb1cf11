//! Goldpath: golden-path Promises for Kratix.
//!
//! A request goes through [`generate`]; the steps around it read and write:
//! [`render`] leaves manifests for Kratix and files for [`commit`], which delivers these to
//! repositories. [`cli`] does both on a laptop. The README has the code map and the invariants.

pub mod cli;
pub mod cluster;
pub mod commit;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod document;
mod fields;
pub mod file_tree;
mod gitea;
mod http;
pub mod kratix;
pub mod names;
pub mod promise;
mod quantity;
pub mod render;
pub mod repository;
pub mod request;
pub mod review;
pub mod set;
pub mod standing;
pub mod template;
pub mod track;
pub mod violation;

use config::Config;
use document::Node;
use promise::{Outputs, Unrendered};
use request::Request;

/// What a request becomes: the same for the same request and configuration, without I/O.
///
/// # Errors
/// Every fault of the request, or a template of ours that is wrong.
pub fn generate<'n>(object: &'n Node, config: &Config) -> Result<(Request<'n>, Outputs), Unrendered> {
    let request = Request::read(object).map_err(|mut faults| {
        // What is wrong around a spec does not hide what is wrong in it.
        let promise = object.get("kind").and_then(Node::as_str).and_then(|kind| promise::find(kind).ok());
        if let Some((promise, spec)) = promise.zip(object.get("spec")) {
            faults.extend((promise.check)(spec, config));
        }
        faults
    })?;
    let mut faults = config.propagate.check(object);
    if !faults.is_empty() {
        faults.extend((request.promise.check)(request.spec, config));
        return Err(faults.into());
    }
    let outputs = (request.promise.generate)(&request, config)?;
    Ok((request, outputs))
}

/// The version of the program, and so of its Promises, as in `kratix.io/promise-version`.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
