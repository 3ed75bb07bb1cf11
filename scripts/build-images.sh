#!/usr/bin/env bash
# Builds the image of the steps, loads it, pushes it. No container engine is needed.
#
#   build-images.sh                    writes an OCI archive, and beside it what is in it (SBOM) and what it was made
#                                      from (provenance), which the archive holds too, as referrers of the image
#   build-images.sh --engine ENGINE    builds pipelines/Dockerfile with docker, podman or buildah instead
#   build-images.sh --pin              writes the digests that the registries have now into pipelines/*Dockerfile
#
#   --image NAME:TAG      what the image is called (default: localhost/goldpath:v and Cargo.toml's version)
#   --output FOLDER       where the archive goes (default: images in Cargo's target folder)
#   --runner              with --engine: builds the review runner too, pipelines/runner.Dockerfile, as NAME-runner:TAG
#   --load WHERE          loads the image: kind (KIND_CLUSTER_NAME names the cluster), containerd, docker
#   --address SOCKET      of containerd (default: /run/containerd/containerd.sock)
#   --push REGISTRY/NAME  pushes the image with the same tag: the archive with oras, crane or skopeo, logged in by you
#   --dry-run             prints the commands that build, load and push, and runs none
#
# Prints ARCHIVE=, IMAGE= and DIGEST= of the archive, and on stderr the sizes. The same program, certificates, commit and
# gzip make the same archive, anywhere: times are the commit's. From the environment:
#   GOLDPATH_BINARIES     a folder with the static `goldpath`, where it is built already
#   CA_CERTIFICATES       the certificate authorities in the image (default: this machine's)
#   SOURCE_DATE_EPOCH     the time that the image says it was created (default: the commit's)
#   SOURCE_URL            where the sources are, for the label and the provenance
set -euo pipefail
stage=build-images
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

run() { # COMMAND…: whose output is for the terminal
  if [ -n "$dry" ]; then printf '%q ' "$@" | sed 's/ $/\n/'; else "$@"; fi
}

image='' output='' engine='' load='' address=/run/containerd/containerd.sock push='' runner='' pin=''
read_options 'runner pin' 'image output engine load address push' "$@"
for path in output GOLDPATH_BINARIES CA_CERTIFICATES; do # relative to where the caller is
  [ -z "${!path:-}" ] || printf -v "$path" %s "$(realpath --canonicalize-missing "${!path}")"
done

cd "$root"
image=${image:-$default_image}
[[ $image =~ ^[a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || fail "--image must be NAME:TAG" "as in --image $default_image"
tag=${image##*:}
[[ -z $push || ($push =~ ^[a-z0-9][a-z0-9._:/-]*/[a-z0-9._/-]+$) ]] || fail "--push must be REGISTRY/NAME, without a tag" "as in --push registry.example.com/platform/goldpath"
case $engine in '' | docker | podman | buildah) ;; *) fail "--engine must be docker, podman or buildah" ;; esac
case $load in '' | kind | containerd | docker) ;; *) fail "--load must be kind, containerd or docker" ;; esac
[ -z "$runner" ] || [ -n "$engine" ] || fail "--runner needs --engine" "the runner's image is made from others, which an engine has to fetch"
output=${output:-${CARGO_TARGET_DIR:-$PWD/target}/images}
archive=$output/goldpath-$version.oci.tar

[ -z "$engine" ] || need "$engine"
case $load in kind | docker) need "$load" ;; containerd) need ctr ;; esac

read_revision() {
  revision=unknown commit=''
  local epoch=0
  if commit=$(git rev-parse --verify --quiet HEAD 2>/dev/null); then
    revision=$commit epoch=$(git log -1 --format=%ct)
    if [ -n "$(git status --porcelain)" ]; then
      revision+=-dirty
      say "the work tree is dirty: the image will say $revision"
    fi
  else
    say "no git repository: the image will say that its revision is unknown"
  fi
  created=$(date --utc --date "@${SOURCE_DATE_EPOCH:-$epoch}" +%Y-%m-%dT%H:%M:%SZ)
}

# The digest of a name with a tag, from whichever client is there.
digest_in_registry() { # NAME:TAG
  local raw
  if command -v crane >/dev/null; then crane digest "$1"
  elif command -v skopeo >/dev/null; then raw=$(mktemp) && skopeo inspect --raw "docker://$1" >"$raw" && printf 'sha256:%s\n' "$(sha256sum <"$raw" | cut -d' ' -f1)"
  elif command -v docker >/dev/null; then docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
  else fail "none of crane, skopeo and docker is on the PATH" "skopeo is in the Debian package skopeo"
  fi
}

# What the Dockerfiles build on: `ARG NAME=registry/name:tag[@digest]`.
bases() { sed -n 's/^ARG [A-Z]*=\([a-z0-9.:-]*[.:][a-z0-9.:-]*\/[^ ]*\)$/\1/p' "$@"; }

pin_bases() {
  local file base digest
  for file in pipelines/*Dockerfile; do
    for base in $(bases "$file"); do
      digest=$(digest_in_registry "${base%@*}") || fail "the digest of ${base%@*} is not known" "does its registry answer? Log in where it asks for that"
      [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "the digest of ${base%@*} reads \`$digest\`"
      [ -n "$dry" ] || sed -i "s|=$base\$|=${base%@*}@$digest|" "$file"
      say "$file: ${base%@*}@$digest"
    done
  done
}

build_with_engine() {
  local base files=(pipelines/Dockerfile)
  [ -z "$runner" ] || files+=(pipelines/runner.Dockerfile)
  for base in $(bases "${files[@]}"); do
    [[ $base == *@sha256:* ]] || say "$base is a tag, which can be moved: --pin writes its digest down"
  done
  run "$engine" build --file pipelines/Dockerfile --tag "$image" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" --build-arg "CREATED=$created" . >&2 || fail "$engine could not build $image" "does \`$engine info\` answer? docker needs its plugin buildx for this"
  [ -z "$runner" ] || run "$engine" build --file pipelines/runner.Dockerfile --tag "${image%:*}-runner:$tag" --build-arg "GOLDPATH=$image" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" . >&2 || fail "$engine could not build ${image%:*}-runner:$tag"
  [ -n "$load$push" ] || return 0
  run mkdir -p "$output"
  case $engine in
    docker) run docker save --output "$archive" "$image" ;;
    podman) run podman save --format oci-archive --output "$archive" "$image" ;;
    buildah) run buildah push "$image" "oci-archive:$archive:$image" ;;
  esac
}

digest_of() { printf 'sha256:%s' "$(sha256sum <"$1" | cut -d' ' -f1)"; }

# Puts a file into the layout, and prints its descriptor.
add() { # MEDIA-TYPE FILE
  local digest
  digest=$(digest_of "$2")
  cp "$2" "$layout/blobs/sha256/${digest#*:}"
  jq -cn --arg type "$1" --arg digest "$digest" --argjson size "$(stat -c %s "$2")" '{mediaType: $type, digest: $digest, size: $size}'
}

# Attaches a document to the image, as OCI 1.1 does: a manifest whose subject it is. Prints the manifest's descriptor.
attach() { # MEDIA-TYPE FILE
  local content empty
  content=$(add "$1" "$2")
  printf '{}' >"$work/empty"
  empty=$(add application/vnd.oci.empty.v1+json "$work/empty")
  jq -cn --arg type "$1" --arg title "${2##*/}" --arg created "$created" --argjson content "$content" --argjson empty "$empty" \
    --argjson subject "$manifest" '{
      schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", artifactType: $type, config: $empty,
      layers: [$content + {annotations: {"org.opencontainers.image.title": $title}}], subject: $subject,
      annotations: {"org.opencontainers.image.created": $created}}' >"$work/referrer"
  add application/vnd.oci.image.manifest.v1+json "$work/referrer" | jq -c --arg type "$1" '. + {artifactType: $type}'
}

build_archive() {
  local architecture target glibc='' origin=given comment rust layer config manifest digest sbom provenance
  need tar gzip sha256sum readelf jq cargo
  case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) fail "no image for $(uname -m)" ;;
  esac
  target=$(uname -m)-unknown-linux-gnu
  if [ -z "${GOLDPATH_BINARIES:-}" ]; then
    GOLDPATH_BINARIES=$(scripts/build-static.sh)
    origin=built
    glibc=$(getconf GNU_LIBC_VERSION)
  fi
  export GOLDPATH_BINARIES CA_CERTIFICATES=${CA_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}
  [ -x "$GOLDPATH_BINARIES/goldpath" ] || fail "there is no program $GOLDPATH_BINARIES/goldpath" "scripts/build-static.sh builds it and prints its folder"
  [ -r "$CA_CERTIFICATES" ] || fail "$CA_CERTIFICATES cannot be read" "it is in the Debian package ca-certificates, or CA_CERTIFICATES names another"
  [ "v$("$GOLDPATH_BINARIES/goldpath" --version | cut -d' ' -f2)" = "$version" ] || fail "$GOLDPATH_BINARIES/goldpath is not of $version" "scripts/build-static.sh builds it"

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  layout=$work/layout
  mkdir -p "$layout/blobs/sha256" "$output"

  scripts/build-image-root.sh "$work/root" "$work/layer.tar.gz" >&2
  layer=$(add application/vnd.oci.image.layer.v1.tar+gzip "$work/layer.tar.gz")
  gzip -dc <"$work/layer.tar.gz" >"$work/layer.tar"

  # No entry point: each container of a Promise names what it runs: /claim, /deliver, /delete.
  jq -cSn --arg architecture "$architecture" --arg created "$created" --arg layer "$(digest_of "$work/layer.tar")" \
    --arg version "$version" --arg revision "$revision" --arg source "${SOURCE_URL:-}" '{
      architecture: $architecture, os: "linux", created: $created,
      config: {User: "65532:65532", WorkingDir: "/", Env: ["PATH=/"], Labels: ({
        "org.opencontainers.image.title": "goldpath",
        "org.opencontainers.image.description": "Step containers of the golden-path Promises for Kratix",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": $version,
        "org.opencontainers.image.revision": $revision,
        "org.opencontainers.image.created": $created
      } + if $source == "" then {} else {"org.opencontainers.image.source": $source} end)},
      rootfs: {type: "layers", diff_ids: [$layer]},
      history: [{created: $created, created_by: "scripts/build-images.sh"}]}' >"$work/config"
  config=$(add application/vnd.oci.image.config.v1+json "$work/config")
  jq -cSn --argjson config "$config" --argjson layer "$layer" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]}' >"$work/manifest"
  manifest=$(add application/vnd.oci.image.manifest.v1+json "$work/manifest")
  digest=$(digest_of "$work/manifest")

  comment=$(readelf --string-dump .comment "$GOLDPATH_BINARIES/goldpath")
  rust=$(sed -n 's/.*rustc version \([^ ]*\).*/\1/p' <<<"$comment")
  write_sbom >"$output/goldpath-$version.sbom.cdx.json"
  write_provenance >"$output/goldpath-$version.provenance.json"
  sbom=$(attach application/vnd.cyclonedx+json "$output/goldpath-$version.sbom.cdx.json")
  provenance=$(attach application/vnd.in-toto+json "$output/goldpath-$version.provenance.json")

  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  # containerd and podman take the name from an annotation; oras and skopeo the tag from the other.
  jq -cSn --arg image "$image" --arg tag "$tag" --arg architecture "$architecture" --argjson manifest "$manifest" \
    --argjson sbom "$sbom" --argjson provenance "$provenance" '{
      schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
        $manifest + {platform: {os: "linux", architecture: $architecture}, annotations: {
          "io.containerd.image.name": $image, "org.opencontainers.image.ref.name": $tag}},
        $sbom, $provenance]}' >"$layout/index.json"
  # What `docker load` reads, where its images are not in containerd.
  jq -cSn --arg image "$image" --argjson config "$config" --argjson layer "$layer" '
    def path: "blobs/" + (.digest | sub(":"; "/"));
    [{Config: ($config | path), RepoTags: [$image], Layers: [$layer | path]}]' >"$layout/manifest.json"

  tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime=@0 --directory "$layout" \
    oci-layout index.json manifest.json blobs >"$work/archive"
  mv "$work/archive" "$archive"
  printf '%s\n' "ARCHIVE=$archive" "IMAGE=$image" "DIGEST=$digest"
}

write_sbom() {
  # `cargo tree` knows what is linked; `cargo metadata` also counts what only tests ask for.
  cargo tree --package goldpath --locked --offline --edges normal,no-proc-macro --target "$target" --prefix none --format '{p}' >"$work/tree" ||
    fail "cargo does not have what Cargo.lock names" "cargo fetch --locked"
  cut -d' ' -f1,2 "$work/tree" | LC_ALL=C sort -u >"$work/linked"
  cargo metadata --locked --offline --format-version 1 --filter-platform "$target" | jq -S -f scripts/sbom.jq \
    --rawfile linked "$work/linked" --rawfile lock Cargo.lock --arg rust "$rust" --arg glibc "${glibc#glibc }" \
    --argjson image "$(jq -n --arg name "$image" --arg version "${version#v}" --arg revision "$revision" --arg created "$created" \
      --arg digest "$digest" '$ARGS.named')" \
    --argjson files "$(jq -n --arg program "$(file_digest "$GOLDPATH_BINARIES/goldpath")" --arg certificates "$(file_digest "$CA_CERTIFICATES")" '$ARGS.named')"
}

file_digest() { sha256sum <"$1" | cut -d' ' -f1; }

# An in-toto statement with the predicate of SLSA 1.0, not signed: it says what this script knows, and proves nothing.
write_provenance() {
  jq -Sn --arg image "${image%:*}" --arg digest "${digest#*:}" --arg tag "$tag" --arg version "$version" --arg target "$target" \
    --arg origin "$origin" --arg rust "$rust" --arg created "$created" --arg commit "$commit" --arg revision "$revision" \
    --arg source "${SOURCE_URL:-}" --arg lock "$(file_digest Cargo.lock)" --arg program "$(file_digest "$GOLDPATH_BINARIES/goldpath")" \
    --arg certificates "$(file_digest "$CA_CERTIFICATES")" '{
      _type: "https://in-toto.io/Statement/v1",
      subject: [{name: $image, digest: {sha256: $digest}}],
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {
        buildDefinition: {
          buildType: "https://goldpath.dev/build-images/v1",
          externalParameters: {image: ($image + ":" + $tag), program: $origin},
          internalParameters: {version: $version, target: $target, rust: $rust, created: $created},
          resolvedDependencies: ([
            if $commit == "" then empty else
              {name: "sources", digest: {gitCommit: $commit}, annotations: {dirty: ($revision | endswith("-dirty"))}}
              + if $source == "" then {} else {uri: ("git+" + $source)} end
            end,
            {name: "Cargo.lock", digest: {sha256: $lock}},
            {name: "ca-certificates.crt", digest: {sha256: $certificates}},
            if $origin == "given" then {name: "goldpath", digest: {sha256: $program}} else empty end])
        },
        runDetails: {
          builder: {id: "https://goldpath.dev/scripts/build-images.sh"},
          byproducts: [if $origin == "built" then {name: "goldpath", digest: {sha256: $program}} else empty end]
        }
      }}'
}

load_archive() {
  case $load in
    kind) run kind load image-archive "$archive" ;;
    docker) [ "$engine" = docker ] || run docker load --input "$archive" ;; # which built it has it
    containerd) run ctr --address "$address" --namespace k8s.io images import "$archive" ;;
  esac >&2 || fail "$load did not take the image" "does it run, and may you speak to it? --address is containerd's, KIND_CLUSTER_NAME kind's"
  [ -n "$dry" ] || say "$load has $image"
}

push_archive() {
  local layout manifest reference
  if [ -n "$engine" ]; then
    case $engine in
      docker) run docker tag "$image" "$push:$tag" && run docker push "$push:$tag" ;;
      podman | buildah) run "$engine" push "$image" "docker://$push:$tag" ;;
    esac
  elif [ -n "$dry" ] || command -v oras >/dev/null; then
    run oras cp --recursive --from-oci-layout "$archive:$tag" "$push:$tag"
  elif command -v crane >/dev/null; then
    layout=$work/push
    mkdir "$layout"
    tar --extract --file "$archive" --directory "$layout"
    # crane takes a layout with one manifest.
    cp "$layout/index.json" "$work/index.json"
    while read -r manifest; do
      jq -c --arg digest "$manifest" '.manifests |= map(select(.digest == $digest))' "$work/index.json" >"$layout/index.json"
      reference=$push@$manifest
      [ "$manifest" != "$(jq -r '.manifests[0].digest' "$work/index.json")" ] || reference=$push:$tag
      crane push "$layout" "$reference" || return
    done < <(jq -r '.manifests[].digest' "$work/index.json")
  elif command -v skopeo >/dev/null; then
    say "skopeo pushes the image without its SBOM and provenance: oras and crane push them too"
    run skopeo copy --preserve-digests "oci-archive:$archive:$tag" "docker://$push:$tag"
  else
    fail "none of oras, crane and skopeo is on the PATH" "https://oras.land pushes everything; skopeo is in the Debian package skopeo"
  fi >&2 || fail "the image could not be pushed to $push:$tag" "does the registry answer, are you logged in, and may you push there?"
  [ -n "$dry" ] || say "pushed $push:$tag"
}

[ -z "$pin" ] || { pin_bases; exit 0; }
read_revision
if [ -n "$engine" ]; then build_with_engine
elif [ -n "$dry" ]; then say "would write $archive"
else build_archive
fi
[ -z "$load" ] || load_archive
[ -z "$push" ] || push_archive
