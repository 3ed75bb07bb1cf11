#!/usr/bin/env bash
# Stage 6 of the proof of concept: a Team on the platform, as a developer, a reviewer and an operator see it: requested,
# reviewed, applied, changed, kept from others, and deleted. After each step its status in the cluster says the
# same as `goldpath status`, which looks at the repositories alone. It ends with the first that is not so in time.
# Run it again at any time: it goes on with the Team that it finds.
#
#   06-test-teams.sh --config FILE [--namespace NAMESPACE] [--id ID] [--owner-token FILE] [--installed | OPTION…]
#                    [--dry-run] [--log-folder FOLDER]
#
#   --config          the platform's configuration, as stage 5 used it: `tokenFile` and `caFile` are read from beside it
#   --namespace       of the request (default: goldpath-teams)
#   --id              the Team's name and id, of which an organisation in Gitea is made (default: poc-alpha)
#   --owner-token     of one of the platform's owners, who approves and merges here (scopes write:repository, write:issue,
#                     read:user), in a file; default: .goldpath/poc/owner.token of stage 3, else the administrator's
#   --installed       the Promises are there; else 02-install-kratix.sh --only promises installs them, and takes its
#                     --image, --load, --address, --ca and --token
#   --dry-run         prints the requests and what would be looked at
#   --log-folder      where the log goes (default: .goldpath/log), and 06-test-teams.failed/ with what tells why
#
# From the environment, or .goldpath/poc/gitea.env of stage 3: GITEA_URL, GITEA_ADMIN_TOKEN_FILE, GITEA_CA_FILE.
# GOLDPATH_BINARIES is a folder with `goldpath`, where it is built already. Needs kubectl, curl, jq, openssl, and what stages
# 2 to 5 have made, with runners. It was run with Kratix, Gitea, runners and Terraform, not with Flux.
set -euo pipefail
stage=06-test-teams
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

namespace=goldpath-teams id=poc-alpha owner_token='' installed='' image='' load='' address='' config='' ca='' token=''
read_options 'installed' 'namespace id owner-token image load address config ca token' "$@"
[[ $id =~ ^[a-z0-9]+(-[a-z0-9]+)*$ && ${#id} -le 39 ]] || fail "--id must be a Team's id" "as in --id poc-alpha"
[[ $namespace =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || fail "--namespace must be a namespace" "as in --namespace goldpath-teams"
[ -n "$dry" ] || [ -r "$config" ] || fail "--config cannot be read: \`$config\`" "name the configuration of stage 5"
start
need_cluster
need_gitea
[ -n "$dry" ] || need_goldpath
[ -n "$owner_token" ] || { [ -s "$poc/owner.token" ] && owner_token=$poc/owner.token; } || owner_token=$GITEA_ADMIN_TOKEN_FILE
[ -n "$dry" ] || [ -r "$owner_token" ] || fail "$owner_token cannot be read"
team=teams.platform.kratix.io/$id
path=team/$namespace/$id

keep_artefacts() {
  local folder=$log_folder/$stage.failed kind
  mkdir -p "$folder"
  for kind in "$team" works workplacements jobs pods events; do
    kubectl get "$kind" --namespace "$namespace" --output yaml >"$folder/${kind##*/}.yaml" 2>&1 || true
  done
  kubectl logs --namespace "$namespace" --selector kratix.io/promise-name=team --all-containers --prefix --tail -1 >"$folder/steps.log" 2>&1 || true
  say "hint: the request, its Pods, events and logs are in $folder"
}
looked=0
expect() { # SECONDS WHAT COMMAND…
  looked=$((looked + 1))
  local begin=$SECONDS seconds=$1 what=$2; shift 2
  if [ -n "$dry" ]; then printf '# within %s s: %s\n' "$seconds" "$what"; return; fi
  until "$@" >>"$log" 2>&1; do
    if [ $((SECONDS - begin)) -ge "$seconds" ]; then
      say "not so: $what"
      keep_artefacts
      exit 1
    fi
    sleep 1
  done
  say "ok: $what ($((SECONDS - begin)) s)"
}

# In the cluster: what the request says.
says() { kubectl get "$team" --namespace "$namespace" --output json >"$work/team" && jq -e "$1" "$work/team"; } # JQ
is_current='(.status.goldpath.observedGeneration == .metadata.generation)'
condition() { printf '((.status.conditions // []) | any(.type == "%s" and .status == "%s"))' "$1" "$2"; }
is_gone() { # an API server that does not answer is no proof
  local found
  found=$(kubectl get "$team" --namespace "$namespace" --ignore-not-found --output name) && [ -z "$found" ]
}
# `deliver` comes back ever later, at most after five minutes; Kratix runs it at once if it is asked to.
look_again() { run kubectl label "$team" --namespace "$namespace" --overwrite kratix.io/manual-reconciliation=true; }
# In the repositories.
shows() { "$program" status "$path" --config "$config" "$@"; }
reaches() { # SECONDS GOAL
  looked=$((looked + 1))
  if [ -n "$dry" ]; then printf 'goldpath status %s --wait=%s --timeout %ss\n' "$path" "$2" "$1"; return; fi
  shows --wait="$2" --timeout "$1s" >>"$log" 2>&1 || { say "not $2, say the repositories"; keep_artefacts; exit 1; }
  say "ok: $2, say the repositories"
}
request_team() { # OBJECT NAME: all of the one id
  apply <<YAML
apiVersion: platform.kratix.io/v1alpha1
kind: Team
metadata: {name: $1, namespace: $namespace, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec: {id: $id, name: $2}
YAML
}

# As the owner. Gitea's times have seconds, and an approval counts if it is later than the plan.
approve() {
  sleep 2
  head=$(gitea GET "$pull" && jq -er .head.sha <<<"$answer")
  request "token $(<"$owner_token")" POST "$pull/reviews" "$(jq -cn --arg head "$head" '{event: "APPROVED", commit_id: $head}')"
  [ "$status" = 200 ]
}
# 405 until Gitea knows that it can be merged, and until `goldpath/plan` allows it.
merge() {
  request "token $(<"$owner_token")" POST "$pull/merge" "$(jq -cn --arg head "$head" '{Do: "merge", head_commit_id: $head}')"
  [ "$status" = 200 ]
}
# From the request to what it brings about.
bring_about() { # GOAL
  local pull='' head=''
  reaches 420 awaiting-review
  if [ -n "$dry" ] || shows --output json | jq -e '.[0].phase == "awaiting-review"' >>"$log"; then
    [ -n "$dry" ] || pull=/repos/$(shows --output json | jq -er '.[0].pullRequest.url | capture("(?<path>[^/]+/[^/]+/pulls/[0-9]+)$").path')
    expect 60 "an owner approves $pull" approve
    expect 480 "it is merged" merge
  fi
  reaches 420 "$1"
}

if [ -z "$installed" ]; then
  "$root/scripts/02-install-kratix.sh" --existing --only promises --log-folder "$log_folder" --config "$config" ${ca:+--ca "$ca"} \
    ${token:+--token "$token"} ${image:+--image "$image"} ${load:+--load "$load"} ${address:+--address "$address"} ${dry:+--dry-run}
fi
available() { kubectl wait --for=condition=Available promise/team --timeout=1s; }
expect 180 "the Promise is Available" available
if [ -n "$dry" ] || ! kubectl get namespace "$namespace" >>"$log" 2>&1; then apply <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $namespace, labels: {app.kubernetes.io/part-of: goldpath-poc}}
YAML
fi # somebody's namespace does not get the label by which cleanup-poc.sh knows ours

# An organisation of somebody else is nobody's to test with.
if [ -z "$dry" ] && is_gone; then
  gitea GET "/orgs/$id"
  [ "$status" = 404 ] || fail "there is an organisation $id already" "name another id with --id"
fi

delivered="$is_current and $(condition Rendered True) and $(condition Delivered True) and .status.goldpath.phase != null"
applied="$is_current and $(condition Reviewed True) and $(condition Applied True) and .status.goldpath.phase == \"applied\""
for name in "Team Alpha" "Team Alpha Two"; do
  say "$name"
  request_team "$id" "$name"
  expect 180 "delivered, says the cluster" says "$delivered"
  bring_about applied
  look_again
  expect 120 "applied, says the cluster" says "$applied"
done

say "another request for the same id"
request_team "$id-copy" "Team Copy"
team=$team-copy expect 120 "refused, with the owner's name, says the cluster" says "$is_current and (.status.message | contains(\"$namespace/$id\"))"
run kubectl delete "$team-copy" --namespace "$namespace" --wait=false
team=$team-copy expect 240 "gone, says the cluster" is_gone
expect 5 "the other stays" says "$applied"

say "deleted, which destroys the organisation when its plan is approved and merged"
run kubectl delete "$team" --namespace "$namespace" --wait=false --ignore-not-found
expect 180 "its deletion is proposed, says the cluster" says '.metadata.deletionTimestamp != null and .status.goldpath.deletion and .status.goldpath.phase != null'
bring_about deleted
expect 420 "gone, says the cluster" is_gone
if [ -n "$dry" ]; then say "would look at $looked things"; else say "all $looked things are as they must be"; fi
