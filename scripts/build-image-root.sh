#!/usr/bin/env bash
# Makes the root folder of the image and prints its sizes; fails where it is larger than it may be.
#   scripts/build-image-root.sh [FOLDER]    without FOLDER it only measures
# CA_CERTIFICATES: the certificate authorities that are trusted beside the configured one.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
certificates=${CA_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}
limit=8000000

if [ $# -gt 0 ]; then
  root=$1
  [ -z "$(ls -A "$root" 2>/dev/null)" ] || { echo "error: $root is not empty" >&2; exit 1; }
else
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
fi

binaries=$("$scripts/build-static.sh")
# An image from scratch has no loader: a binary that asks for one would not even start.
headers=$(readelf --program-headers "$binaries/goldpath")
[[ $headers != *INTERP* ]] || { echo "error: the binary is not static" >&2; exit 1; }

install -D -m 755 -t "$root" "$binaries/goldpath"
for step in render commit track; do ln -s goldpath "$root/$step"; done
install -D -m 644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
# `commit` keeps its copy of a remote repository there.
install -d -m 1777 "$root/tmp"

compressed() { gzip -9 --no-name | wc -c; }
row() { printf '| %-10s | %9s | %10s |\n' "$@"; }

row file bytes compressed
row --- ---: ---:
for file in goldpath etc/ssl/certs/ca-certificates.crt; do
  row "${file##*/}" "$(stat -c %s "$root/$file")" "$(compressed <"$root/$file")"
done
all() { tar --create --sort=name --owner=0 --group=0 --mtime=@0 --directory "$root" .; }
size=$(all | compressed)
row all.tar "$(all | wc -c)" "$size"

if [ "$size" -gt "$limit" ]; then
  echo "error: the image is $size bytes compressed, more than $limit" >&2
  exit 1
fi
