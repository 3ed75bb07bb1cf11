#!/usr/bin/env bash
# Undoes the proof of concept. It says first what it removes, and asks.
#
#   cleanup-poc.sh [--yes] [--gitea] [--organization NAME] [--store NAME] [--dry-run] [--log-folder FOLDER]
#
# With a kind cluster of stage 1: the cluster, with all that is in it, and .goldpath/poc.
# With an existing cluster (build-poc.sh --existing): what carries the label of the proof of concept (Destinations,
# GitStateStore, namespaces, objects of Flux), the Promises with configuration and roles, the Secrets of stage 4, and
# .goldpath/poc. Kratix, cert-manager and Flux stay. Who runs Goldpath in that cluster for others than this proof of
# concept loses it. Teams must be gone before: their deletion has to be reviewed.
#
#   --yes           does not ask
#   --gitea         with an existing Gitea also: the repositories that stages 4 and 5 made, the organisation of Terraform's
#                   states, and Goldpath's four users; for ever
#   --organization  as in build-poc.sh (default: platform); it stays, empty or not
#   --store         as in 04-configure-ssh-gitea.sh (default: default)
#   --dry-run       says what it would remove, and removes nothing
#   --log-folder    where the log goes (default: .goldpath/log); logs stay
set -euo pipefail
stage=cleanup-poc
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

yes='' gitea='' organization=platform store=default
read_options 'yes gitea' 'organization store' "$@"
start
need kubectl jq

ask() {
  [ -z "$yes$dry" ] || return 0
  [ -t 0 ] || fail "nobody is there to be asked" "--yes removes it without asking"
  local word
  read -r -p "Remove all of this? Write yes: " word
  [ "$word" = yes ] || fail "nothing was removed"
}
forget() {
  if [ -n "$dry" ]; then say "would remove: $poc"; return; fi
  rm -rf "$poc"
  say "removed: $poc"
}

if [ -s "$poc/cluster.env" ]; then
  # shellcheck source=/dev/null
  . "$poc/cluster.env"
  say "removes the kind cluster $CLUSTER, with its Gitea and all repositories, and $poc"
  ask
  need kind
  run kind delete cluster --name "$CLUSTER"
  [ -n "$dry" ] || say "removed: the kind cluster $CLUSTER"
  forget
  exit 0
fi

cluster_answers >>"$log" 2>&1 || fail "no Kubernetes answers to kubectl" "set KUBECONFIG"
label=app.kubernetes.io/part-of=goldpath-poc
has_kind() { kubectl get crd "$1" >>"$log" 2>&1; }

if has_kind teams.platform.kratix.io; then
  teams=$(kubectl get teams.platform.kratix.io --all-namespaces --output jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name} {end}')
  [ -z "$teams" ] || fail "there are Teams: $teams" "delete them, and approve and merge what that proposes: 06-test-teams.sh does so with its own"
fi

# In this order: a Promise before the configuration that its steps read, stores after what writes to them.
found=()
add() { # NAMESPACE|- kubectl's ARGUMENT…
  local line namespace=$1 scope=(); shift
  [ "$namespace" = - ] || scope=(--namespace "$namespace")
  while read -r line; do [ -z "$line" ] || found+=("$namespace $line"); done < <(kubectl get "$@" "${scope[@]}" --ignore-not-found --output name 2>>"$log" || true)
}
collect() {
  local kind name
  for kind in kustomizations.kustomize.toolkit.fluxcd.io gitrepositories.source.toolkit.fluxcd.io; do
    if has_kind "$kind"; then add flux-system "$kind" --selector "$label"; fi
  done
  if has_kind promises.platform.kratix.io; then
    for name in $(kubectl kustomize "$root/manifests/platform" | sed -n '/^kind: Promise$/,/^---$/s/^  name: //p'); do add - promises.platform.kratix.io "$name"; done
  fi
  for kind in destinations gitstatestores; do
    if has_kind "$kind.platform.kratix.io"; then add - "$kind.platform.kratix.io" --selector "$label"; fi
  done
  for name in default flux-system; do add "$name" secret --selector "$label" --field-selector "metadata.name=$store-ssh"; done
  add - namespace --selector "$label"
  add - namespace goldpath-system
  add - clusterrole goldpath-requester goldpath-viewer
}
collect
paths=()
if [ -n "$gitea" ]; then
  need_gitea
  for repository in state catalog infrastructure review; do
    read_or_null "/repos/$organization/$repository"
    [ "$answer" = null ] || paths+=("/repos/$organization/$repository")
  done
  read_or_null "/orgs/$organization-states"
  [ "$answer" = null ] || paths+=("/orgs/$organization-states")
  for user in goldpath goldpath-review goldpath-bell goldpath-terraform; do
    read_or_null "/users/$user"
    [ "$answer" = null ] || [ "$(jq -r .email <<<"$answer")" != "$user@goldpath.invalid" ] || paths+=("/admin/users/$user?purge=true")
  done
fi

if [ ${#found[@]} -eq 0 ] && [ ${#paths[@]} -eq 0 ] && [ -z "$(ls -A "$poc" 2>/dev/null)" ]; then say "nothing is left"; exit 0; fi
for object in "${found[@]}"; do say "removes: ${object#* }$([ "${object%% *}" = - ] || printf ' in %s' "${object%% *}")"; done
for path in "${paths[@]}"; do say "removes: $GITEA_URL ${path%%\?*}"; done
say "removes: $poc"
[ -n "$gitea" ] || say "note: repositories, organisations and users in Gitea stay: --gitea removes them too"
ask

for object in "${found[@]}"; do
  scope=()
  [ "${object%% *}" = - ] || scope=(--namespace "${object%% *}")
  run kubectl delete "${object#* }" "${scope[@]}" --ignore-not-found --timeout=3m
done
# Gitea removes no organisation that has packages: Terraform's states.
remove_states() {
  local path
  gitea GET "/packages/$organization-states?limit=50"
  while [ "$status" = 200 ] && [ "$(jq length <<<"$answer")" -gt 0 ]; do
    while read -r path; do change "$path is no more" DELETE "$path"; done < <(jq -r --arg owner "$organization-states" \
      '.[] | "/packages/\($owner)/\(.type)/\(.name | @uri)/\(.version | @uri)"' <<<"$answer")
    [ -z "$dry" ] || return 0
    gitea GET "/packages/$organization-states?limit=50"
  done
}
for path in "${paths[@]}"; do
  [ "$path" != "/orgs/$organization-states" ] || remove_states
  change "${path%%\?*} is no more" DELETE "$path"
done
if [ -z "$dry" ]; then
  found=()
  collect
  [ ${#found[@]} -eq 0 ] || fail "still there: ${found[*]}" "a finalizer may hold it: kubectl describe it"
fi
forget
[ -n "$dry" ] || say "removed all of it"
