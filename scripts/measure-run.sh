#!/usr/bin/env bash
# Measures `goldpath run` on many requests in one call, new ones and unchanged ones, and prints a table for the README.
# What each takes must not grow with their number; the goal for 10,000 unchanged ones is under 10 s and 256 MiB.
#   scripts/measure-run.sh [RUNS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-5}
binaries=$(scripts/build-static.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

row() { # COUNT
  local count=$1 folder=$work/$1 new sorted n
  mkdir "$folder"
  for n in $(seq "$count"); do
    printf 'apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {name: t%d}\nspec: {id: id%d, name: Team}\n' "$n" "$n" >"$folder/$n.yaml"
  done
  once() { env time --format '%e %M' --output "$work/measured" "$binaries/goldpath" run --quiet "$folder" --workspace "$folder.out"; }
  once
  new=$(<"$work/measured")
  mapfile -t sorted < <(for _ in $(seq "$runs"); do once; cat "$work/measured"; done | sort -n)
  LC_ALL=C awk -v count="$count" -v new="$new" -v unchanged="${sorted[runs / 2]}" \
    -v packed="$(du --apparent-size -sk "$folder.out/catalog.git" "$folder.out/infrastructure.git" | awk '{ sum += $1 } END { print sum }')" \
    -v files="$(find "$folder.out"/*.git -type f | wc -l)" \
    'BEGIN { split(new, n, " "); split(unchanged, u, " ")
             printf "| %d | %.2f s | %.0f MiB | %.2f s | %.0f MiB | %.1f MiB in %d files |\n",
             count, n[1], n[2] / 1024, u[1], u[2] / 1024, packed / 1024, files }'
  rm -r "$folder" "$folder.out"
}

echo "| requests | new | peak memory | unchanged, median of $runs | peak memory | both repositories |"
echo "|---:|---:|---:|---:|---:|---:|"
for count in 1000 3000 10000; do row "$count"; done
