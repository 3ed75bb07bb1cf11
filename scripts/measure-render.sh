#!/usr/bin/env bash
# Measures whole processes of `render`, from input folder to output folder, and prints tables for
# the README. `true` is the floor: what it costs to start any process. Then an Application of many components in 20
# Environments, of which a quarter each is public, for the cluster, a worker, and a cron.
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

# Documents of an Application of so many components, and of what it names.
application() { # COUNT
  local n components=(
    "type: webapp, port: 8080, visibility: public, healthCheck: {http: {path: /healthz}}, autoscaling: {min: 2, max: 4}"
    "type: webapp, port: 8080, healthCheck: {http: {path: /healthz}}, secrets: [{name: URL, secret: {name: db, key: url}}]"
    "type: worker, command: [python, -m, mailer], ports: [{name: admin, port: 9000}]"
    "type: cron, schedule: '0 0 * * *', command: [python, -m, report]"
  )
  printf 'apiVersion: platform.kratix.io/v1alpha1\nkind: Application\nmetadata: {name: big}\nspec:\n  team: alpha\n  components:\n'
  for n in $(seq "$1"); do printf '  - {name: c%d, %s}\n' "$n" "${components[n % 4]}"; done
  printf '  instances:\n'
  for n in {1..20}; do printf '  - {environment: e%d, image: registry.example.com/big, version: "1"}\n' "$n"; done
}
references() {
  local n
  printf 'apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: alpha}\nspec: {id: alpha, name: Alpha}\n'
  for n in {1..20}; do
    printf -- '---\napiVersion: platform.kratix.io/v1alpha1\nkind: Environment\nmetadata: {name: e%d, namespace: platform}\n' "$n"
    printf 'spec: {clusters: [{name: c%d, stateStore: {kind: GitStateStore, name: default}, gateways: {public: {namespace: g, name: p, domain: e%d.example.com}}}]}\n' "$n" "$n"
  done
}

echo
echo "| components | time, median of 5 | peak memory |"
echo "|---:|---:|---:|"
references >"$work/with.yaml"
for count in 200 400 600; do
  application "$count" >"$work/application.yaml"
  mapfile -t sorted < <(for _ in {1..5}; do
    env time --format '%e %M' --output "$work/measured" "$binaries/goldpath" render "$work/application.yaml" --with "$work/with.yaml" >/dev/null
    cat "$work/measured"
  done | sort -n)
  LC_ALL=C awk -v count="$count" -v measured="${sorted[2]}" \
    'BEGIN { split(measured, m, " "); printf "| %d | %.2f s | %.0f MiB |\n", count, m[1], m[2] / 1024 }'
done
