//! Goldpath: golden-path Promises for Kratix.
//!
//! A request goes through [`generate`]; the steps around it read and write:
//! [`render`] leaves manifests for Kratix and files for [`commit`], which delivers these to
//! repositories. [`cli`] does both on a laptop. The README has the code map and the invariants.

// The floors, from the ground up: a module uses those of the floors below its own, and no others.

// Texts, digests, calls.
pub mod digest;
pub mod http;
pub mod text;

// What is read and written.
pub mod cluster;
pub mod document;
pub mod file_tree;
pub mod template;
pub mod violation;

pub mod compose;
pub mod diff;
mod fields;
mod object_template;

mod api;

pub mod names;

// A request, what it refers to, and what it becomes: plain data.
pub mod known;
mod quantity;
pub mod request;
mod scalars;

pub mod outputs;

pub mod outcome;

pub mod config;
pub mod status;
pub mod waves;

// What Kratix, Gitea and each Promise want.
pub mod gitea;
pub mod kratix;
pub mod promise;

// The steps.
pub mod platform;
pub mod render;
pub mod repository;
pub mod set;

pub mod commit;
pub mod doctor;
pub mod track;

pub mod standing;

pub mod cli;

use config::Config;
use document::Node;
use known::{Known, Source, Stop};
use outputs::{Outputs, Unrendered};
use request::Request;

/// As often as a request is rendered before all that it refers to is known.
const ROUNDS: usize = 8;

/// What a request becomes: the same for the same request, configuration and what is known, without I/O.
///
/// # Errors
/// What it has to know first; every fault of the request; a template of ours that is wrong.
pub fn generate<'n>(object: &'n Node, known: &Known, config: &Config) -> Result<(Request<'n>, Outputs), Stop> {
    let request = promise::read(object).map_err(|mut faults| {
        // What is wrong around a spec does not hide what is wrong in it.
        if let Some((promise, spec)) = promise::of(object).zip(object.get("spec")) {
            faults.extend((promise.check)(spec, config));
        }
        faults
    })?;
    let promise = promise::find(request.identity.kind.as_str()).map_err(|refusal| vec![refusal.at("kind", None)])?;
    let mut faults = config.propagate.check(object);
    if !faults.is_empty() {
        faults.extend((promise.check)(request.spec, config));
        return Err(faults.into());
    }
    match (promise.generate)(&request, known, config) {
        Ok(outputs) => Ok((request, outputs)),
        // What is wrong beside the spec has its place too.
        Err(Stop::Wrong(mut faults)) => {
            for fault in faults.iter_mut().filter(|fault| fault.span.is_none() && !fault.path.is_empty()) {
                fault.span = object.at(&fault.path).map(|node| node.span);
            }
            Err(Stop::Wrong(faults))
        }
        Err(stop) => Err(stop),
    }
}

/// The same with all that the request refers to, which `source` looks for.
///
/// # Errors
/// As [`generate`]; what could not be looked for.
pub fn generate_with<'n>(
    object: &'n Node,
    config: &Config,
    source: &dyn Source,
) -> Result<(Request<'n>, Outputs), Unrendered> {
    let mut known = Known::default();
    for _ in 0..ROUNDS {
        match generate(object, &known, config) {
            Ok(done) => return Ok(done),
            Err(Stop::Wrong(faults)) => return Err(Unrendered::Wrong(faults)),
            Err(Stop::Broken(error)) => return Err(Unrendered::Broken(error)),
            Err(Stop::Needs(needs)) => known.0.extend(source.look(&needs).map_err(Unrendered::Unknown)?.0),
        }
    }
    Err(Unrendered::Unknown(anyhow::anyhow!("what it refers to refers to more, {ROUNDS} times over: our bug")))
}

/// The version of the program, and so of its Promises, as in `kratix.io/promise-version`.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use regex::Regex;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    /// The modules of each floor, from the ground up, as they are declared above.
    fn floors() -> Vec<Vec<&'static str>> {
        let declared = Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap();
        let text = include_str!("lib.rs").split("use config::Config;").next().unwrap();
        let modules = |floor| declared.captures_iter(floor).map(|module| module.get(1).unwrap().as_str()).collect();
        text.split("\n\n").map(modules).filter(|floor: &Vec<_>| !floor.is_empty()).collect()
    }

    #[test]
    fn the_readme_shows_the_floors() {
        let picture: String = floors().iter().rev().map(|floor| format!("{}\n", floor.join("  "))).collect();
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let text = fs::read_to_string(readme).unwrap();
        let (before, rest) = text.split_once("<!-- floors -->\n```\n").unwrap();
        let (shown, after) = rest.split_once("```\n").unwrap();
        if std::env::var_os("BLESS").is_some() {
            fs::write(readme, format!("{before}<!-- floors -->\n```\n{picture}```\n{after}")).unwrap();
        } else {
            assert_eq!(shown, picture, "BLESS=1 cargo test the_readme_shows writes it");
        }
    }

    #[test]
    fn no_module_uses_one_of_its_own_floor_or_above() {
        let floors: BTreeMap<_, _> = floors()
            .into_iter()
            .enumerate()
            .flat_map(|(floor, modules)| modules.into_iter().map(move |module| (module.to_owned(), floor)))
            .collect();
        let used = Regex::new(r"\bcrate::(\w+)\b").unwrap();
        let (mut arrows, mut wrong) = (0, Vec::new());
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        for file in files(source).iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
            let own = file.strip_prefix(source).unwrap().components().next().unwrap().as_os_str();
            let own = own.to_str().unwrap().trim_end_matches(".rs");
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().lines().filter(|line| !line.trim().starts_with("//"));
            for module in code.flat_map(|line| used.captures_iter(line).map(|module| module[1].to_owned())) {
                if let Some((own_floor, floor)) = floors.get(own).zip(floors.get(&module)).filter(|_| module != own) {
                    arrows += 1;
                    wrong.extend((floor >= own_floor).then(|| format!("{} uses {module}", file.display())));
                }
            }
        }
        assert!(arrows > 200 && floors.len() > 25, "{arrows} uses of {} modules were found", floors.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
