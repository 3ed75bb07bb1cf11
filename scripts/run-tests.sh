#!/usr/bin/env bash
# The tests that need Rust and git alone: rules, golden trees, injection, abuse, races, the binaries.
#
#   run-tests.sh [ARGUMENT…]
#
#   ARGUMENT  goes to `cargo test`, as `golden` or the name of a test
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=tests
# shellcheck source=scripts/test-lib.sh
. scripts/test-lib.sh

[[ ${1:-} != @(-h|--help) ]] || usage
need_tools cargo git
cargo test --locked "$@"
