#!/usr/bin/env bash
# Makes the root folder of the image, and its layer, and prints their sizes; fails where the image is larger than it may be.
#   scripts/build-image-root.sh [FOLDER [LAYER]]    without FOLDER it only measures; LAYER: the tar.gz to write
# CA_CERTIFICATES: the certificate authorities that are trusted beside the configured one.
# GOLDPATH_BINARIES: a folder with the static `goldpath`, where it is built already.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
certificates=${CA_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}
limit=8000000

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=${1:-$work/root} layer=${2:-$work/layer.tar.gz}
[ -z "$(ls -A "$root" 2>/dev/null)" ] || { echo "error: $root is not empty" >&2; exit 1; }

binaries=${GOLDPATH_BINARIES:-$("$scripts/build-static.sh")}
# An image from scratch has no loader: a binary that asks for one would not even start.
headers=$(readelf --program-headers "$binaries/goldpath")
[[ $headers != *INTERP* ]] || { echo "error: $binaries/goldpath is not static" >&2; exit 1; }

install -d -m 755 "$root"
install -D -m 755 -t "$root" "$binaries/goldpath"
for step in claim deliver delete render commit track; do ln -s goldpath "$root/$step"; done
install -D -m 644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
# `commit` keeps its copy of a remote repository there.
install -d -m 1777 "$root/tmp"

# Nothing of the machine or the hour: the same files are the same bytes.
tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --directory "$root" . >"$work/layer.tar"
gzip -9 --no-name <"$work/layer.tar" >"$layer"

row() { printf '| %-18s | %10s | %10s |\n' "$@"; }
bytes() { sed ':a; s/\B[0-9]\{3\}\>/,&/; ta' <<<"$1"; }
measure() { # NAME FILE
  row "$1" "$(bytes "$(stat -c %s "$2")")" "$(bytes "$(gzip -9 --no-name <"$2" | wc -c)")"
}

size=$(stat -c %s "$layer")
row file bytes compressed
row --- ---: ---:
measure goldpath "$root/goldpath"
measure 'CA certificates' "$root/etc/ssl/certs/ca-certificates.crt"
row 'all, as tar.gz' "$(bytes "$(stat -c %s "$work/layer.tar")")" "$(bytes "$size")"

if [ "$size" -gt "$limit" ]; then
  echo "error: the image is $size bytes compressed, more than $limit" >&2
  exit 1
fi
