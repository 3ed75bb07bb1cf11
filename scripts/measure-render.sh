#!/usr/bin/env bash
# Measures whole processes of `render`, from input folder to output folder, and prints a table for
# the README. `true` is the floor: what it costs to start any process.
#   scripts/measure-render.sh [RUNS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-200}
request=promises/team/resource-request.yaml
binaries=$(scripts/build-static.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
render=$work/render
ln -s "$binaries/goldpath" "$render"

# Each run gets new folders, as each Pod does.
new_folders() {
  rm -rf "$work/kratix"
  mkdir -p "$work"/kratix/{input,output,metadata}
  cp "$request" "$work/kratix/input/object.yaml"
}
export KRATIX_INPUT=$work/kratix/input KRATIX_OUTPUT=$work/kratix/output KRATIX_METADATA=$work/kratix/metadata

# Microseconds of each run, sorted.
times() {
  local _ start end
  for _ in $(seq "$runs"); do
    new_folders
    start=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null
    end=${EPOCHREALTIME/[.,]/}
    echo $((end - start))
  done | sort -n
}

# KiB, the largest of ten runs.
peak() {
  local _
  for _ in {1..10}; do
    new_folders
    env time --format %M --output "$work/peak" "$@" >/dev/null
    cat "$work/peak"
  done | sort -n | tail -n 1
}

row() { # NAME COMMAND…
  local name=$1 sorted memory
  shift
  mapfile -t sorted < <(times "$@")
  memory=$(peak "$@")
  LC_ALL=C awk -v name="$name" -v memory="$memory" -v machine="$machine" -v runs="$runs" \
    -v median="${sorted[runs / 2]}" -v min="${sorted[0]}" -v max="${sorted[-1]}" \
    'BEGIN { printf "| %s | %.2f ms | %.2f ms | %.2f ms | %.1f MiB | %d | %s |\n",
             name, median / 1e3, min / 1e3, max / 1e3, memory / 1024, runs, machine }'
}

machine="$(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(stat --file-system --format %T "$work")"
new_folders
"$render" >/dev/null
test -n "$(ls -A "$KRATIX_OUTPUT")"

echo "| process | median | min | max | peak memory | runs | machine |"
echo "|---|---:|---:|---:|---:|---:|---|"
row "\`render\`, static" "$render"
row "\`true\`" "$(type -P true)"
