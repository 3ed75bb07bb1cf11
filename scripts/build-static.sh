#!/usr/bin/env bash
# Builds the program, static, and prints the folder that it is in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# With --target the flags are not for build scripts and procedural macros, which a static libc
# cannot load.
target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" \
  cargo build --profile dist --locked --target "$target" --bin goldpath >&2
printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}/$target/dist"
