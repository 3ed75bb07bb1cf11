//! How long the example request takes: in memory, and from folder to folder.

use divan::{Bencher, black_box};
use goldpath::config::Config;
use goldpath::known::Nobody;
use goldpath::kratix::Folders;
use goldpath::{document, generate_with, render};
use jiff::Timestamp;

const REQUEST: &[u8] = include_bytes!("../promises/team/resource-request.yaml");

fn main() {
    divan::main();
}

#[divan::bench]
fn parse() -> Vec<document::Node> {
    document::parse(black_box(REQUEST)).expect("the example is YAML")
}

#[divan::bench]
fn parse_validate_and_render(bencher: Bencher) {
    let config = Config::default();
    bencher.bench_local(|| {
        let objects = document::parse(black_box(REQUEST)).expect("the example is YAML");
        generate_with(&objects[0], &config, &Nobody).expect("the example is right").1
    });
}

#[divan::bench]
fn folder_to_folder(bencher: Bencher) {
    bencher
        .with_inputs(|| {
            let root = tempfile::tempdir().expect("a folder");
            let folders = Folders::below(root.path());
            folders.write_object(REQUEST).expect("an input");
            (root, folders)
        })
        .bench_local_refs(|(_, folders)| {
            render::run(folders, Ok(&Config::default()), &Nobody, Timestamp::UNIX_EPOCH).expect("the example renders")
        });
}
