#!/usr/bin/env bash
# Stage 2 of the proof of concept: Kratix, with cert-manager and Flux; then Goldpath in it: image, configuration, roles,
# Promises. Run it again at any time.
#
#   02-install-kratix.sh [--existing] [--only kratix|promises] [--image NAME:TAG] [--load WHERE] [--address SOCKET]
#                        [--config FILE] [--ca FILE] [--token FILE] [--dry-run] [--log-folder FOLDER]
#
#   --existing    Kratix is there: its CRDs and that its manager answers are looked at, nothing of it is changed
#   --only        one of the two parts
#   --image       of the steps (default: localhost/goldpath:v and Cargo.toml's version)
#   --load        loads the image by build-images.sh: kind (the default), containerd, docker; none: nodes pull it
#   --address     of containerd
#   --config      the configuration (config.example.yaml); without it the one in the cluster stays, or else
#                 manifests/platform/config.yaml is an example
#   --ca          the certificate authority of Gitea: the key that the file is called, beside the configuration
#   --token       what `gitea.tokenFile: token` is: the file that stage 5 writes
#   --dry-run     prints every command and manifest, and runs none
#   --log-folder  where the log goes (default: .goldpath/log)
#
# Needs kubectl, git and jq. Installing Kratix needs GitHub and a registry: that part was never run where this was
# written; its Kustomize overlay was rendered, from a copy of that commit.
set -euo pipefail
stage=02-install-kratix
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

existing='' only='' image=$default_image load=kind address='' config='' ca='' token=''
read_options 'existing' 'only image load address config ca token' "$@"
case $only in '' | kratix | promises) ;; *) fail "--only must be kratix or promises" ;; esac
case $load in kind | containerd | docker | none) ;; *) fail "--load must be kind, containerd, docker or none" ;; esac
[[ $image =~ ^[a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || fail "--image must be NAME:TAG" "as in --image $default_image"
for file in "$config" "$ca" "$token"; do
  [ -z "$file" ] || [ -n "$dry" ] || [ -r "$file" ] || fail "\`$file\` cannot be read"
done
[ -z "$ca" ] || [ -n "$config" ] || fail "--ca needs --config" "the certificate authority is a key beside the configuration, which names it"
start

crds=(promises destinations gitstatestores works workplacements)

install_kratix() {
  need curl git
  fetch "$CERT_MANAGER_URL" "$CERT_MANAGER_DIGEST" "$work/cert-manager.yaml"
  run kubectl apply --server-side -f "$work/cert-manager.yaml"
  run kubectl wait --for=condition=Available deployment --all --namespace cert-manager --timeout=5m
  # Available is not enough: its webhook must have its own certificate.
  printf 'apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: probe, namespace: default}\nspec: {selfSigned: {}}\n' >"$work/issuer.yaml"
  wait_for 120 "cert-manager's webhook" "kubectl logs -n cert-manager deployment/cert-manager-webhook" kubectl apply --dry-run=server -f "$work/issuer.yaml"
  [ -n "$dry" ] || say "cert-manager answers"

  mkdir -p "$work/kratix"
  local name=${KRATIX_IMAGE%:*} reference
  reference=$(pinned "$KRATIX_IMAGE" "$KRATIX_DIGEST")
  cat >"$work/kratix/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: ["$KRATIX_REPOSITORY//config/default?ref=$KRATIX_COMMIT&timeout=120s"]
images: [{name: $name, newName: $name, $(if [ -n "$KRATIX_DIGEST" ]; then printf 'digest: "%s"' "$KRATIX_DIGEST"; else printf 'newTag: "%s"' "${KRATIX_IMAGE##*:}"; fi)}]
# The image that it runs around our steps is its own. Its preview, the kind DryRun, is off unless its configuration says so.
configMapGenerator:
  - {name: kratix, namespace: kratix-platform-system, literals: ["config=featureFlags: {dryRun: true}"]}
  - {name: kratix-platform-pipeline-adapter-config, namespace: kratix-platform-system, behavior: merge, literals: ["PIPELINE_ADAPTER_IMG=$reference"]}
generatorOptions: {disableNameSuffixHash: true}
YAML
  show "$work/kratix/kustomization.yaml"
  run kubectl apply --server-side --force-conflicts -k "$work/kratix"
  run kubectl wait --for=condition=Available deployment --all --namespace kratix-platform-system --timeout=5m

  fetch "$FLUX_URL" "$FLUX_DIGEST" "$work/flux.yaml"
  run kubectl apply --server-side -f "$work/flux.yaml"
  run kubectl wait --for=condition=Available deployment source-controller kustomize-controller --namespace flux-system --timeout=5m
  [ -n "$dry" ] || say "Kratix and Flux run"
}

# A state store that cannot work: the manager says so in its status.
probe=goldpath-probe
manager_has_answered() { [ -n "$(kubectl get gitstatestore "$probe" --output jsonpath='{.status.conditions}')" ]; }
remove_probe() { kubectl delete gitstatestore "$probe" --ignore-not-found --wait=false; }
verify_kratix() {
  [ -z "$dry" ] || return 0
  local crd
  for crd in "${crds[@]}"; do
    kubectl wait --for=condition=Established "crd/$crd.platform.kratix.io" --timeout=60s >>"$log" 2>&1 ||
      fail "the cluster has no CRD $crd.platform.kratix.io" "Kratix is not installed there: run this without --existing"
  done
  trap 'remove_probe >>"$log" 2>&1 || true; rm -rf "$work"' EXIT
  remove_probe >>"$log" 2>&1
  apply <<YAML
apiVersion: platform.kratix.io/v1alpha1
kind: GitStateStore
metadata: {name: $probe, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec: {url: "https://probe.invalid/none.git", branch: main, authMethod: basicAuth, secretRef: {name: $probe, namespace: default}}
YAML
  wait_for 60 "Kratix's manager to answer" "does it run? kubectl logs -n kratix-platform-system deployment/kratix-platform-controller-manager" manager_has_answered
  say "Kratix answers"
  kubectl get configmap kratix --namespace kratix-platform-system --output jsonpath='{.data.config}' 2>>"$log" | grep -q 'dryRun: *true' ||
    say "note: Kratix's preview (the kind DryRun) is off: its ConfigMap kratix needs featureFlags: {dryRun: true}, and it a restart"
}

key() { # FILE NAME
  if [ -n "$dry" ] && [ ! -r "$1" ]; then printf 'to be made by an earlier stage\n' >"$overlay/$2"; else cp "$1" "$overlay/$2"; fi
}

install_promises() {
  local arguments=(--image "$image") promise promises
  if [ "$load" != none ]; then
    arguments+=(--load "$load")
    [ -z "$address" ] || arguments+=(--address "$address")
    [ -n "$dry" ] || [ -x "$root/scripts/build-images.sh" ] || fail "there is no scripts/build-images.sh" "--load none if the nodes have $image, or can pull it"
    # shellcheck source=/dev/null
    [ ! -s "$poc/cluster.env" ] || . "$poc/cluster.env"
    export KIND_CLUSTER_NAME=${CLUSTER:-goldpath-poc}
    run "$root/scripts/build-images.sh" "${arguments[@]}"
    [ -n "$dry" ] || say "the nodes have $image"
  fi

  # Kustomize takes no absolute path. Both physical, because links do not count in `..`.
  local overlay base
  mkdir -p "$work/platform"
  overlay=$(cd "$work/platform" && pwd -P)
  base=$(realpath --relative-to "$overlay" "$(cd "$root" && pwd -P)/manifests/platform")
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: ["%s"]\n' "$base"
    [ "$image" = "$default_image" ] || printf 'images: [{name: localhost/goldpath, newName: "%s", newTag: "%s"}]\n' "${image%:*}" "${image##*:}"
    if [ -n "$config" ]; then
      key "$config" config.yaml
      [ -z "$ca" ] || key "$ca" "${ca##*/}"
      printf 'generatorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n  - {name: goldpath, namespace: goldpath-system, behavior: replace, files: [config.yaml%s]}\n' "${ca:+, \"${ca##*/}\"}"
    elif [ -z "$dry" ] && kubectl get configmap goldpath --namespace goldpath-system >>"$log" 2>&1; then
      say "the configuration in the cluster stays"
      # shellcheck disable=SC2016 # the dollar is Kustomize's
      printf 'patches:\n  - patch: \x27{$patch: delete, apiVersion: v1, kind: ConfigMap, metadata: {name: goldpath, namespace: goldpath-system}}\x27\n'
    else
      say "note: no --config: manifests/platform/config.yaml is an example"
    fi
  } >"$overlay/kustomization.yaml"
  if [ -n "$dry" ]; then
    show "$work/platform/kustomization.yaml"
    printf '# of which Kustomize makes:\n'
    kubectl kustomize "$overlay" || fail "Kustomize refuses the base" "see above"
  fi
  run kubectl apply --server-side --force-conflicts --field-manager goldpath -k "$overlay"
  [ -z "$token" ] || apply_secret goldpath-system goldpath-gitea "token=$token"
  if [ -n "$dry" ]; then
    printf 'kubectl wait --for=condition=Available promises --timeout=3m\n'
    return
  fi
  promises=$(kubectl kustomize "$overlay" | sed -n '/^kind: Promise$/,/^---$/s/^  name: //p' | sort -u)
  [ -n "$promises" ] || fail "manifests/platform has no Promise" "see its kustomization.yaml"
  for promise in $promises; do
    kubectl wait --for=condition=Available "promise/$promise" --timeout=180s >>"$log" 2>&1 ||
      fail "the Promise $promise is not Available: $(kubectl get promise "$promise" --output jsonpath='{range .status.conditions[?(@.status!="True")]}{.type}: {.message}; {end}' 2>>"$log")" "kubectl describe promise $promise"
    say "the Promise $promise is Available"
  done
  kubectl get secret goldpath-gitea --namespace goldpath-system >>"$log" 2>&1 || say "note: there is no Secret goldpath-gitea yet: --token makes it"
}

need kubectl jq
need_cluster
if [ "$only" != promises ]; then
  [ -n "$existing" ] || install_kratix
fi
verify_kratix
[ "$only" = kratix ] || install_promises
