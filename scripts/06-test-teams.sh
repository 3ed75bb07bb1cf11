#!/usr/bin/env bash
# Stage 6 of the proof of concept: installs the Promises, then creates, changes and deletes Teams, and looks at every
# effect: Pods, Work, files in the store, catalog, pull request, plan, approval, merge, apply, organisation, conditions
# and message, clean removal. It ends with the first that is not there in time, and keeps what tells why.
# Run it again at any time: it goes on with the Teams that it finds.
#
#   06-test-teams.sh [--namespace NAMESPACE] [--id PREFIX] [--infrastructure OWNER/NAME] [--catalog OWNER/NAME]
#                    [--state OWNER/NAME] [--destination NAME] [--reviewer USER] [--owner-token FILE] [--keep]
#                    [--installed | OPTION…] [--dry-run] [--log-folder FOLDER]
#
#   --namespace       of the requests (default: goldpath-teams)
#   --id              the ids are PREFIX-alpha, -beta, -gamma, -delta: organisations in Gitea (default: poc)
#   --infrastructure, --catalog  the repositories that the configuration names (defaults: platform/infrastructure and
#                     platform/catalog)
#   --state           the repository that Kratix writes to (default: platform/state)
#   --destination     that manifests of Teams go to, and its folder there (default: platform)
#   --reviewer        whose plans and applies count: `review.user` of the configuration (default: goldpath-review)
#   --owner-token     of one of the platform's owners, who approves and merges here (scopes write:repository, write:issue,
#                     read:user), in a file; default: .goldpath/poc/owner.token of stage 3, else the administrator's
#   --keep            leaves alpha and beta
#   --installed       the Promises are there; else 02-install-kratix.sh --only promises installs them, and takes its
#                     --image, --load, --address, --config, --ca and --token
#   --dry-run         prints the requests and what would be looked at
#   --log-folder      where the log goes (default: .goldpath/log), and 06-test-teams.failed/ with what tells why
#
# From the environment, or .goldpath/poc/gitea.env of stage 3: GITEA_URL, GITEA_ADMIN_TOKEN_FILE, GITEA_CA_FILE.
# Needs kubectl, curl, jq, git, gzip, openssl, and what stages 2 to 5 have made, with runners. It was run on a real cluster
# with Kratix, Gitea, runners and Terraform (whose provider was a stand-in), not with Flux.
# shellcheck disable=SC2016 # what stands in single quotes are jq's variables
set -euo pipefail
stage=06-test-teams
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

namespace=goldpath-teams id=poc infrastructure=platform/infrastructure catalog=platform/catalog state=platform/state
destination=platform reviewer=goldpath-review owner_token='' keep='' installed=''
image='' load='' address='' config='' ca='' token=''
read_options 'keep installed' 'namespace id infrastructure catalog state destination reviewer owner-token image load address config ca token' "$@"
install=(${image:+--image "$image"} ${load:+--load "$load"} ${address:+--address "$address"} ${config:+--config "$config"} ${ca:+--ca "$ca"} ${token:+--token "$token"})
name='[A-Za-z0-9][A-Za-z0-9._-]*'
for option in infrastructure catalog state; do
  [[ ${!option} =~ ^$name/$name$ ]] || fail "--$option must be OWNER/NAME" "as in --$option platform/$option"
done
[[ $id =~ ^[a-z0-9]+(-[a-z0-9]+)*$ && ${#id} -le 30 ]] || fail "--id must be the beginning of a Team's id" "as in --id poc"
[[ $namespace =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || fail "--namespace must be a namespace" "as in --namespace goldpath-teams"
start
need git gzip
need_cluster
need_gitea
image=${image:-$default_image}
[ -n "$owner_token" ] || { [ -s "$poc/owner.token" ] && owner_token=$poc/owner.token; } || owner_token=$GITEA_ADMIN_TOKEN_FILE
[ -n "$dry" ] || [ -r "$owner_token" ] || fail "$owner_token cannot be read"

# Looking -------------------------------------------------------------------------------------------------------------------

looked=0
keep_artefacts() {
  local folder=$log_folder/$stage.failed kind pod
  mkdir -p "$folder"
  for kind in teams.platform.kratix.io works workplacements jobs pods events; do
    kubectl get "$kind" --namespace "$namespace" --output yaml >"$folder/$kind.yaml" 2>&1 || true
  done
  kubectl describe promise team >"$folder/promise.txt" 2>&1 || true
  while read -r pod; do
    [ -z "$pod" ] || kubectl logs --namespace "$namespace" "$pod" --all-containers --prefix >"$folder/${pod##*/}.log" 2>&1 || true
  done < <(kubectl get pods --namespace "$namespace" --output name 2>/dev/null)
  say "hint: requests, Pods, events and logs are in $folder"
}
expect() { # SECONDS WHAT COMMAND…
  local begin=$SECONDS until=$((SECONDS + $1)) what=$2; shift 2
  looked=$((looked + 1))
  if [ -n "$dry" ]; then printf '# within %s s: %s\n' $((until - begin)) "$what"; return; fi
  until "$@" >>"$log" 2>&1; do
    if [ $SECONDS -ge $until ]; then
      say "not so: $what"
      keep_artefacts
      exit 1
    fi
    sleep 1
  done
  say "ok: $what ($((SECONDS - begin)) s)"
}

team() { kubectl get "teams.platform.kratix.io/$1" --namespace "$namespace" --output json; }
team_says() { # NAME JQ
  team "$1" >"$work/team" && jq -e --arg id "$id-$1" --arg image "$image" "$2" "$work/team"
}
# About the spec as it is now. Kratix's manager drops the conditions' own observedGeneration when it writes one of its own.
condition() { printf '(.status.goldpath.observedGeneration == .metadata.generation and ((.status.conditions // []) | any(.type == "%s" and .status == "%s")))' "$1" "$2"; }
applied() { printf '(.status.goldpath.phase == "applied") and %s and %s' "$(condition Reviewed True)" "$(condition Applied True)"; }

# All that a repository's branch `main` has under a folder, as path and content's id.
listing() { # OWNER/NAME FOLDER
  local page
  for ((page = 1; ; page++)); do
    gitea GET "/repos/$1/git/trees/main?recursive=true&per_page=1000&page=$page"
    [ "$status" = 200 ] || return
    jq -r --arg folder "$2" '.tree[]? | select(.type == "blob" and (.path | startswith($folder))) | "\(.sha) \(.path)"' <<<"$answer"
    [ "$(jq .truncated <<<"$answer")" = true ] || break
  done
}
file_is() { # OWNER/NAME PATH FILE
  gitea GET "/repos/$1/raw/$2?ref=main"
  [ "$status" = 200 ] && cmp --silent "$work/answer" "$3"
}
file_says() { # OWNER/NAME PATH TEXT
  gitea GET "/repos/$1/raw/$2?ref=main"
  [ "$status" = 200 ] && grep -qF -- "$3" "$work/answer"
}
is_gone() { # PATH of Gitea's API
  gitea GET "$1"
  [ "$status" = 404 ]
}
head_of() { # OWNER/NAME
  gitea GET "/repos/$1/branches/main"
  [ "$status" = 200 ] && jq -er .commit.id <<<"$answer"
}

# Kratix's side -------------------------------------------------------------------------------------------------------------

jobs_of() { kubectl get jobs --namespace "$namespace" --selector "app.kubernetes.io/managed-by=Kratix,kratix.io/promise-name=team,kratix.io/resource-name=$1" --output json; }
pods_are_right() { # NAME: those of `claim` have run our image, as nobody, on a read-only file system, within 64 MiB
  jobs_of "$1" >"$work/jobs" || return
  kubectl get pods --namespace "$namespace" --output json >"$work/pods" || return
  jq -e --slurpfile jobs "$work/jobs" --arg image "$image" '
    [$jobs[0].items[] | select(.metadata.labels["kratix.io/pipeline-name"] == "claim") | .metadata.name] as $names
    | [.items[] | select(any(.metadata.ownerReferences[]?; .name | IN($names[])))]
    | length > 0 and all(.spec.initContainers | map(select(.name == "claim")) | length == 1 and all(
        .image == $image and .securityContext.runAsNonRoot and .securityContext.readOnlyRootFilesystem
        and .securityContext.allowPrivilegeEscalation == false and .resources.limits.memory == "64Mi"))
      and all(.[].status.initContainerStatuses[]? | select(.name == "claim"); .restartCount == 0)' "$work/pods"
}
no_crash() {
  jobs_of "$1" >"$work/jobs" && kubectl get pods --namespace "$namespace" --output json >"$work/pods" &&
    jq -e --slurpfile jobs "$work/jobs" '[$jobs[0].items[].metadata.name] as $names
      | [.items[] | select(any(.metadata.ownerReferences[]?; .name | IN($names[])))]
      | length > 0 and all(.[].status.initContainerStatuses[]? | select(.name | IN("claim", "deliver", "delete")); .restartCount == 0)' "$work/pods"
}
works_of() { kubectl get works --namespace "$namespace" --output json | jq --arg name "$1" '[.items[] | select(.spec.promiseName == "team" and .spec.resourceName == $name)]'; }
unpack_work() { # NAME: the files of its Work, in $work/work/NAME
  local file
  works_of "$1" >"$work/works" || return
  rm -rf "${work:?}/work/$1"
  mkdir -p "$work/work/$1"
  jq -e 'map(.spec.workloadGroups[]?.workloads[]?) | length > 0' "$work/works" || return
  while read -r file; do
    jq -rj --arg file "$file" 'first(.[].spec.workloadGroups[]?.workloads[]? | select(.filepath == $file)) | .content' "$work/works" |
      base64 --decode | gzip -dc >"$work/work/$1/$file" || return
  done < <(jq -r '.[].spec.workloadGroups[]?.workloads[]?.filepath' "$work/works")
}
work_is_right() { unpack_work "$1" && grep -qsxE "  name: \"?team-$id-$1\"?" "$work/work/$1"/*_namespace.yaml; }
store_folder() { printf '%s/resources/%s/team/%s/' "$destination" "$namespace" "$1"; }
store_is_right() { # NAME: exactly the files of the Work
  local sha path found=0
  unpack_work "$1" || return
  listing "$state" "$(store_folder "$1")" >"$work/listing" || return
  while read -r sha path; do
    [ "$(git hash-object "$work/work/$1/${path##*/}")" = "$sha" ] || return
    found=$((found + 1))
  done <"$work/listing"
  [ "$found" -gt 0 ] && [ "$found" = "$(find "$work/work/$1" -type f | wc -l)" ]
}
store_is_empty() { listing "$state" "$(store_folder "$1")" >"$work/listing" && [ ! -s "$work/listing" ]; }
works_are_gone() { [ "$(works_of "$1" | jq length)" = 0 ]; }
is_no_more() { # kubectl's ARGUMENT…: an API server that does not answer is no proof
  local found
  found=$(kubectl get "$@" --ignore-not-found --output name) && [ -z "$found" ]
}
team_is_gone() { is_no_more "teams.platform.kratix.io/$1" --namespace "$namespace"; }

# Gitea's side --------------------------------------------------------------------------------------------------------------

# The open pull request of a branch; sets `number` and `head`. `pulls/main/BRANCH` would give the first one ever.
pull_is_open() { # BRANCH
  gitea GET "/repos/$infrastructure/pulls?state=open&sort=recentupdate&limit=50"
  [ "$status" = 200 ] || return
  read -r number head < <(jq -r --arg branch "$1" 'first(.[] | select(.head.ref == $branch and .head.repo_id == .base.repo_id)) | "\(.number) \(.head.sha)"' <<<"$answer") || return
}
status_says() { # COMMIT CONTEXT STATE…: the newest of our reviewer's
  local commit=$1 context=$2; shift 2
  gitea GET "/repos/$infrastructure/commits/$commit/statuses?limit=50&sort=recentupdate"
  [ "$status" = 200 ] || return
  jq -e --arg context "$context" --arg user "$reviewer" '[.[] | select(.context == $context and .creator.login == $user)] | max_by(.id) | .status | IN($ARGS.positional[])' \
    --args "$@" <<<"$answer"
}
plan_is_shown() { # NUMBER: in a comment of our reviewer; sets `shown`, when it was last written
  gitea GET "/repos/$infrastructure/issues/$1/comments"
  [ "$status" = 200 ] &&
    shown=$(jq -er --arg user "$reviewer" '[.[] | select(.user.login == $user) | .updated_at] | max // empty' <<<"$answer")
}
# Gitea's times have seconds, and an approval counts if it is later than the plan.
is_past() { [ "$(date +%s)" -gt "$(date --date "$1" +%s)" ]; }
approve() { # NUMBER HEAD
  request "token $(<"$owner_token")" POST "/repos/$infrastructure/pulls/$1/reviews" "$(jq -cn --arg head "$2" '{event: "APPROVED", commit_id: $head}')"
  [ "$status" = 200 ] && jq -e '.state == "APPROVED" and .official' <<<"$answer"
}
# 405 until Gitea knows that it can be merged, and until `goldpath/plan` allows it.
merge() { # NUMBER HEAD
  request "token $(<"$owner_token")" POST "/repos/$infrastructure/pulls/$1/merge" "$(jq -cn --arg head "$2" '{Do: "merge", head_commit_id: $head}')"
  [ "$status" = 200 ] && return
  gitea GET "/repos/$infrastructure/pulls/$1"
  [ "$status" = 200 ] && jq -e .merged <<<"$answer"
}
merged_as() { # NUMBER: sets `commit`
  gitea GET "/repos/$infrastructure/pulls/$1"
  commit=$(jq -er .merge_commit_sha <<<"$answer")
}
organization_is() { # ID NAME
  gitea GET "/orgs/$1"
  [ "$status" = 200 ] && jq -e --arg name "$2" '.full_name == $name' <<<"$answer"
}

# From an open pull request to what it brings about.
review() { # NAME BRANCH
  local number='' head='' commit='' shown=''
  expect 120 "$1: a pull request from $2 is open" pull_is_open "$2"
  # The clock looks every five minutes, should the bell be lost.
  expect 420 "$1: it is planned" status_says "$head" "goldpath/plan: teams/$id-$1" success pending failure
  expect 30 "$1: the plan can be applied" status_says "$head" "goldpath/plan: teams/$id-$1" success pending
  expect 30 "$1: the plan is shown in a comment of $reviewer" plan_is_shown "$number"
  expect 5 "$1: an approval is later than the plan" is_past "$shown"
  expect 30 "$1: an owner's approval is official" approve "$number" "$head"
  expect 480 "$1: it is merged" merge "$number" "$head"
  expect 30 "$1: its merge commit is known" merged_as "$number"
  expect 420 "$1: it is applied" status_says "$commit" "goldpath/apply: teams/$id-$1" success
}
# `deliver` comes back ever later, at most after five minutes; Kratix runs it at once if it is asked to.
look_again() { run kubectl label "teams.platform.kratix.io/$1" --namespace "$namespace" --overwrite kratix.io/manual-reconciliation=true; }
branch_of() { printf 'goldpath/%steam/%s/%s' "${2:-}" "$namespace" "$1"; }

# Requests ------------------------------------------------------------------------------------------------------------------

request_team() { # NAME ID TITLE [EMAIL]
  apply <<YAML
apiVersion: platform.kratix.io/v1alpha1
kind: Team
metadata: {name: $1, namespace: $namespace, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec:
  id: $2
  name: $3
$([ -z "${4:-}" ] || printf '  email: %s\n' "$4")
YAML
}
delete_team() { run kubectl delete "teams.platform.kratix.io/$1" --namespace "$namespace" --wait=false --ignore-not-found; }

delivered() { # NAME TITLE: all that is there before anybody has reviewed
  expect 120 "$1: rendered" team_says "$1" "$(condition Rendered True)"
  expect 60 "$1: its Pods ran $image as non-root, read-only, within 64 MiB" pods_are_right "$1"
  expect 60 "$1: its Work holds the namespace team-$id-$1" work_is_right "$1"
  expect 60 "$1: the store has the Work's files, and no others" store_is_right "$1"
  expect 60 "$1: the catalog has teams/$id-$1.yaml, called $2" file_says "$catalog" "teams/$id-$1.yaml" "$2"
  expect 30 "$1: catalog-info.yaml lists it" file_says "$catalog" catalog-info.yaml "teams/$id-$1.yaml"
  expect 60 "$1: delivered, says its status" team_says "$1" "$(condition Delivered True)"
}
proposed() { # NAME
  local number head
  team_says "$1" "(.status.goldpath.phase | IN(\"merged\", \"applying\", \"applied\")) and $(condition Reviewed True)" || pull_is_open "$(branch_of "$1")"
}
bring_about() { # NAME TITLE
  local number head
  delivered "$1" "$2"
  # A run that was stopped may find it merged, or applied.
  expect 120 "$1: a pull request is open, or what it proposed is merged" proposed "$1"
  if [ -n "$dry" ] || pull_is_open "$(branch_of "$1")"; then
    expect 90 "$1: its status names the pull request" team_says "$1" '.status.message | test("pull request #[0-9]+")'
    review "$1" "$(branch_of "$1")"
  fi
  expect 60 "$1: the organisation $id-$1 is there, called $2" organization_is "$id-$1" "$2"
  look_again "$1"
  expect 120 "$1: applied, says its status" team_says "$1" "$(applied)"
  expect 10 "$1: its status has the organisation's name" team_says "$1" '.status.outputs.organization_name == $id'
  if [ -n "$flux" ]; then expect 180 "$1: its namespace is in the cluster" kubectl get namespace "team-$id-$1"; fi
}
removed() { # NAME: everywhere
  expect 420 "$1: the request is gone" team_is_gone "$1"
  expect 60 "$1: its Work is gone" works_are_gone "$1"
  expect 60 "$1: its files are gone from the store" store_is_empty "$1"
  expect 60 "$1: its file is gone from the catalog" is_gone "/repos/$catalog/contents/teams/$id-$1.yaml?ref=main"
  expect 30 "$1: its folder is gone from $infrastructure" is_gone "/repos/$infrastructure/contents/teams/$id-$1?ref=main"
  expect 30 "$1: no pull request of it is open" no_pull_is_open "$1"
  if [ -n "$flux" ]; then expect 180 "$1: its namespace is gone" is_no_more namespace "team-$id-$1"; fi
}
no_pull_is_open() { ! pull_is_open "$(branch_of "$1")" && ! pull_is_open "$(branch_of "$1" delete/)"; }
is_held() { team_says "$1" '.metadata.deletionTimestamp != null and (.metadata.finalizers | length > 0)'; }
delete_reviewed() { # NAME TITLE
  if [ -z "$dry" ] && team_is_gone "$1" >>"$log" 2>&1; then removed "$1"; return; fi
  delete_team "$1"
  expect 30 "$1: the request is held" is_held "$1"
  if [ -n "$dry" ] || ! is_gone "/orgs/$id-$1"; then
    expect 120 "$1: the deletion's pull request is named in its status" team_says "$1" '(.status.goldpath.phase | IN("planning", "awaiting-review")) and (.status.message | test("pull request #[0-9]+"))'
    expect 5 "$1: nothing is destroyed before it is merged" organization_is "$id-$1" "$2"
    review "$1" "$(branch_of "$1" delete/)"
    expect 60 "$1: the organisation is gone" is_gone "/orgs/$id-$1"
  fi
  removed "$1"
}

# -------------------------------------------------------------------------------------------------------------------------

if [ -z "$installed" ]; then
  arguments=(--existing --only promises --log-folder "$log_folder" "${install[@]}")
  [ -z "$dry" ] || arguments+=(--dry-run)
  "$root/scripts/02-install-kratix.sh" "${arguments[@]}"
fi
flux=''
if [ -z "$dry" ] && kubectl get kustomizations.kustomize.toolkit.fluxcd.io --namespace flux-system --output json 2>>"$log" |
  jq -e --arg path "./$destination" 'any(.items[]; .spec.path == $path)' >>"$log" 2>&1; then flux=1; fi

available() { kubectl wait --for=condition=Available promise/team --timeout=1s; }
explained() { kubectl explain teams.spec.id --api-version=platform.kratix.io/v1alpha1 | grep -q "The Team's id"; }
expect 180 "the Promise is Available" available
expect 60 "kubectl explain knows a Team" explained
if [ -n "$dry" ] || is_no_more namespace "$namespace" >>"$log" 2>&1; then apply <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $namespace, labels: {app.kubernetes.io/part-of: goldpath-poc}}
YAML
fi # somebody's namespace does not get the label by which cleanup-poc.sh knows ours

# An organisation of somebody else is nobody's to test with.
if [ -z "$dry" ]; then
  for name in alpha beta gamma delta; do
    if team_is_gone "$name" && ! is_gone "/orgs/$id-$name"; then fail "there is an organisation $id-$name already" "name other ids with --id"; fi
  done
fi

say "create: alpha, beta (without a mail address), gamma"
request_team alpha "$id-alpha" "Team Alpha" alpha@company.com
request_team beta "$id-beta" "Team Beta"
request_team gamma "$id-gamma" "Team Gamma" gamma@company.com
bring_about alpha "Team Alpha"
bring_about beta "Team Beta"
expect 10 "beta: a mail address of the platform" team_says beta '.status.email | startswith($id + "@")'
bring_about gamma "Team Gamma"

say "the same again: no commit"
if [ -z "$dry" ]; then before=$(head_of "$catalog") before=$before$(head_of "$infrastructure")$(listing "$state" "$(store_folder alpha)"); jobs_of alpha >"$work/jobs.before"; fi
request_team alpha "$id-alpha" "Team Alpha" alpha@company.com
look_again alpha
has_run_again() { # both Pipelines, as Jobs that were not there before
  jobs_of alpha >"$work/jobs" && jq -e --slurpfile before "$work/jobs.before" '($before[0].items | map(.metadata.name)) as $old
    | [.items[] | select((.metadata.name | IN($old[]) | not) and any(.status.conditions[]?; .type == "Complete" and .status == "True"))
        | .metadata.labels["kratix.io/pipeline-name"]]
    | index("claim") != null and index("deliver") != null' "$work/jobs" && team_says alpha "$(applied)"
}
unchanged() { [ "$(head_of "$catalog")$(head_of "$infrastructure")$(listing "$state" "$(store_folder alpha)")" = "$before" ]; }
expect 180 "alpha: has run again" has_run_again
expect 5 "alpha: no commit in catalog and infrastructure, the same files in the store" unchanged

say "change: alpha gets another name"
request_team alpha "$id-alpha" "Team Alpha Two" alpha@company.com
bring_about alpha "Team Alpha Two"

say "wrong: what the API server lets through"
request_team delta "$id-delta" "Team Delta" first..last@company.com
expect 120 "delta: the request is wrong, says its status, and where" team_says delta \
  '(.status.message | startswith("the request is wrong")) and any(.status.goldpath.violations[]?; .path == "spec.email")'
expect 10 "delta: not rendered, for this reason" team_says delta '(.status.conditions // []) | any(.type == "Rendered" and .status == "False" and .reason == "RequestWrong")'
expect 10 "delta: no step has crashed" no_crash delta
expect 5 "delta: no Work" works_are_gone delta
request_team copy "$id-alpha" "Team Copy"
expect 120 "copy: refused, with the owner's name" team_says copy ".status.message | contains(\"$namespace/alpha\")"
delete_team copy
expect 240 "copy: gone, and alpha's file stays" team_is_gone copy
expect 5 "alpha: its file stays" file_says "$catalog" "teams/$id-alpha.yaml" "Team Alpha Two"
if [ -z "$dry" ]; then listing "$catalog" teams/ >"$work/catalog.before"; fi
request_team beta "$id-beta" "Team Beta" first..last@company.com
expect 120 "beta: a wrong edit is told" team_says beta '.status.message | startswith("the request is wrong")'
stays() { listing "$catalog" teams/ | cmp --silent - "$work/catalog.before" && store_is_right beta; }
expect 5 "beta: what was delivered before stays" stays
request_team beta "$id-beta" "Team Beta"
expect 180 "beta: recovers" team_says beta "(.status.goldpath.violations // [] | length == 0) and $(condition Rendered True)"
request_team delta "$id-delta" "Team Delta"
delivered delta "Team Delta"
say "delete: delta, which nobody has merged, needs no review"
expect 120 "delta: a pull request is open" pull_is_open "$(branch_of delta)"
delete_team delta
removed delta

say "delete: gamma, whose organisation is destroyed when its plan is approved and merged"
delete_reviewed gamma "Team Gamma"
if [ -z "$keep" ]; then
  delete_reviewed beta "Team Beta"
  delete_reviewed alpha "Team Alpha Two"
fi
if [ -n "$dry" ]; then say "would look at $looked things"; else say "all $looked things are as they must be"; fi
