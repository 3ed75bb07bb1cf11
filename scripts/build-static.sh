#!/usr/bin/env bash
# Builds a program, static, and prints the folder that it is in.
#   scripts/build-static.sh [goldpath|goldpath-review]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# With --target the flags are not for build scripts and procedural macros, which a static libc
# cannot load.
target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" \
  cargo build --profile dist --locked --target "$target" --package "${1:-goldpath}" --bins >&2
printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}/$target/dist"
