//! What crosses modules: the binaries, and, ignored unless a script of `scripts/` runs them, the real servers. One program,
//! so that everything is linked once.

mod abuse;
mod advice;
mod applications;
mod cli;
mod cluster;
mod faults;
mod gitea;
mod golden;
mod injection;
mod load;
mod proxy;
mod races;
mod remote;
mod review;
mod secrets;
mod setup;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod terraform;
mod trust;
mod workflows;
