#!/usr/bin/env bash
# Proves that the image of scripts/build-images.sh is what it says, and starts on a real node as the Promises start it: built
# twice it has the same digest, every blob has the digest it is named by, and a Pod of it, not root, with a read-only file
# system and 64 MiB, runs each of its names.
#   KUBECONFIG           a cluster with one node, on which Pods run
#   CONTAINERD_ADDRESS   the socket of that node's containerd
#   GOLDPATH_BINARIES    a folder with the static `goldpath`, where it is built already
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

namespace=goldpath-image-test
fail() { printf '%s\n' "image: $*" >&2; exit 1; }
for tool in ctr jq kubectl sha256sum tar; do command -v "$tool" >/dev/null || fail "$tool is not on the PATH"; done
: "${KUBECONFIG:?is not set: see the head of this script}" "${CONTAINERD_ADDRESS:?is not set: see the head of this script}"
node_images() { ctr --address "$CONTAINERD_ADDRESS" --namespace k8s.io images "$@"; }

work=$(mktemp -d)
image=localhost/goldpath-image-test:run-$$ config=''
# No other image has this one's configuration, which containerd keeps by its digest too.
export SOURCE_URL=https://example.com/run-$$
clean_up() {
  kubectl delete namespace "$namespace" --ignore-not-found --wait --timeout=60s >/dev/null || echo "image: left behind: namespace $namespace" >&2
  node_images rm "$image" "$config" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT

[ -n "${GOLDPATH_BINARIES:-}" ] || GOLDPATH_BINARIES=$(scripts/build-static.sh)
export GOLDPATH_BINARIES
build() { scripts/build-images.sh --image "$image" --output "$work/$1" "${@:2}" >"$work/$1.env" 2>"$work/log" || { cat "$work/log" >&2; fail "build-images.sh failed"; }; }
build first
(umask 077; TZ=Asia/Tokyo LC_ALL=C build second --load containerd --address "$CONTAINERD_ADDRESS")
diff -r "$work/first" "$work/second" >&2 || fail "built twice, it differs"

digest=$(sed -n 's/^DIGEST=//p' "$work/first.env")
mkdir "$work/layout"
tar --extract --file "$work"/first/*.oci.tar --directory "$work/layout"
for blob in "$work"/layout/blobs/sha256/*; do sha256sum --check --status <<<"${blob##*/}  $blob" || fail "the blob ${blob##*/} has another digest"; done
manifest() { jq -e "$2" "$work/layout/blobs/sha256/${1#*:}" >/dev/null || fail "$1 is not as it should be: $2"; }
[ "$(jq -r '.manifests[0].digest' "$work/layout/index.json")" = "$digest" ] || fail "the index names another image than $digest"
config=$(jq -r .config.digest "$work/layout/blobs/sha256/${digest#*:}")
manifest "$config" '.config.User == "65532:65532" and .config.Labels["org.opencontainers.image.revision"] != null'
for referrer in $(jq -r '.manifests[1:][].digest' "$work/layout/index.json"); do manifest "$referrer" ".subject.digest == \"$digest\""; done
jq -e '.bomFormat == "CycloneDX" and ([.components[].name] | contains(["serde", "libgit2"]) and (contains(["proptest"]) | not))' \
  "$work"/first/*.sbom.cdx.json >/dev/null || fail "the SBOM does not name what is in the program, and only that"
jq -e --arg digest "${digest#*:}" '.subject[0].digest.sha256 == $digest' "$work"/first/*.provenance.json >/dev/null || fail "the provenance is of another image"

node_images ls "name==$image" | grep -q "$digest" || fail "containerd has another image than $digest"
# A namespace of a run that was killed.
kubectl delete namespace "$namespace" --ignore-not-found --wait --timeout=60s >/dev/null
kubectl create namespace "$namespace" >/dev/null
kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
commands=('["/claim","--version"]' '["/deliver","--version"]' '["/delete","--version"]' '["goldpath","--version"]')
for command in "${commands[@]}"; do
  jq -n --arg image "$image" --argjson command "$command" '{
    name: ($command[0] | ltrimstr("/")), image: $image, imagePullPolicy: "Never", command: $command,
    resources: {limits: {memory: "64Mi", cpu: "500m"}},
    securityContext: {runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,
      capabilities: {drop: ["ALL"]}, seccompProfile: {type: "RuntimeDefault"}}}'
done | jq -s --arg namespace "$namespace" '{
  apiVersion: "v1", kind: "Pod", metadata: {name: "versions", namespace: $namespace},
  spec: {restartPolicy: "Never", automountServiceAccountToken: false, containers: .}}' >"$work/pod.json"

# The API server takes no Pod before the namespace has its service account.
kubectl wait --namespace "$namespace" --for=create serviceaccount/default --timeout=60s >/dev/null
kubectl create --filename "$work/pod.json" >/dev/null
kubectl wait --namespace "$namespace" --for=jsonpath='{.status.phase}'=Succeeded pod/versions --timeout=90s >/dev/null || {
  kubectl describe --namespace "$namespace" pod/versions >&2
  fail "the Pod did not succeed"
}
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p; q}' Cargo.toml)
for name in claim deliver delete goldpath; do
  said=$(kubectl logs --namespace "$namespace" pod/versions --container "$name")
  [ "$said" = "$name $version" ] || fail "$name --version says \`$said\`"
done
echo "image: passed: $digest"
