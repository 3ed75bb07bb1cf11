#!/usr/bin/env bash
# The proof of concept, all of it: a cluster with Kratix and Gitea, Goldpath in it, and Teams created, changed and deleted.
# It stops at the first stage that fails; run it again, or go on with --from. cleanup-poc.sh undoes it.
#
#   build-poc.sh [--from N] [--only N] [OPTION…]
#   build-poc.sh --existing URL [--from N] [--only N] [OPTION…]
#
#   --from, --only  a stage:  1 cluster          2 Kratix               3 Gitea
#                             4 keys and stores  5 repositories, users  6 Promises and Teams
#   --existing      makes neither cluster nor Kratix nor Gitea: those of the current kubeconfig, and Gitea at URL, are
#                   looked at. Runners are yours to start (start-runner.sh), when stage 5 has made their repositories
#   --host          Gitea's name (stage 3)
#   --organization  of the repositories `infrastructure`, `catalog`, `review`, `state` (default: platform); the states of
#                   Terraform are in NAME-states
#   --owners        the platform's owners, users of Gitea: USER,… (default: platform-owner, whom stage 3 makes; with
#                   --existing the administrator)
#   --owner-token   of one of them, who approves and merges in stage 6
#   --runner        the label of the runner that rings (default: goldpath-bell; with --existing, of one that is there)
#   --image, --load, --address  as in 02-install-kratix.sh
#   --dry-run       every stage prints its commands and manifests, and runs none
#   --log-folder    where the logs go, one for each stage (default: .goldpath/log)
#
# From the environment, for --existing: KUBECONFIG, GITEA_ADMIN_TOKEN_FILE, GITEA_CA_FILE (see 03-setup-gitea.sh).
# What stages 1 to 3 install comes from registries: without --existing it was never run where this was written. With it,
# all six were, on a real cluster with Kratix, Gitea, runners and Terraform (see 06-test-teams.sh).
set -euo pipefail
stage=build-poc
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

from=1 only='' existing='' host='' organization=platform owners='' owner_token='' runner=''
image='' load='' address=''
read_options '' 'from only existing host organization owners owner-token runner image load address' "$@"
image_options=(${image:+--image "$image"} ${load:+--load "$load"} ${address:+--address "$address"})
for option in from only; do
  [ -z "${!option}" ] || [[ ${!option} =~ ^[1-6]$ ]] || fail "--$option must be a stage" "from 1 to 6"
done
[[ $organization =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "--organization must be a name" "as in --organization platform"
[ -z "$owners" ] || [[ $owners =~ ^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$ ]] || fail "--owners must be users with commas between them"
[ -z "$existing" ] || [ -z "$host" ] || fail "--host is of a Gitea that is made here, --existing of one that is there"
start
[ -n "$existing" ] || unset GITEA_URL GITEA_ADMIN_TOKEN_FILE GITEA_CA_FILE # another Gitea's, perhaps
begin=$SECONDS
common=(--log-folder "$log_folder")
[ -z "$dry" ] || common+=(--dry-run)
infrastructure=$organization/infrastructure catalog=$organization/catalog review=$organization/review state=$organization/state
runner=${runner:-goldpath-bell}

stage_script() { # SCRIPT OPTION…
  local script=$1; shift
  if ! "$root/scripts/$script" "${common[@]}" "$@"; then
    say "stage $number failed"
    say "hint: its log is $log_folder/${script%.sh}.log; when that is put right: scripts/build-poc.sh --from $number, with the same options"
    exit 1
  fi
}

know_gitea() {
  if [ -n "$existing" ]; then export GITEA_URL=${existing%/}; fi
  if [ -n "$dry" ] && [ -z "$existing" ] && [ ! -s "$poc/gitea.env" ]; then
    export GITEA_URL=https://${host:-gitea.127.0.0.1.nip.io}:8443 GITEA_ADMIN_TOKEN_FILE=$poc/admin.token GITEA_CA_FILE=$poc/ca.crt
    owners=${owners:-platform-owner}
    return
  fi
  need_gitea
  if [ -z "$owners" ]; then
    owners=platform-owner
    if [ -n "$existing" ]; then gitea GET /user; owners=$(jq -r .login <<<"$answer"); fi
  fi
}

# One configuration, for the steps and for review. JSON is YAML.
write_configuration() {
  # In one folder with what it names, so that `goldpath` can be run with it.
  local config=$poc/goldpath/platform.yaml
  if [ -n "$dry" ]; then config=$work/platform.yaml; else mkdir -p "$poc/goldpath"; fi
  jq -n --arg url "$GITEA_URL" --arg ca "${GITEA_CA_FILE:+ca.crt}" --arg owner "$organization" --arg owners "$owners" '{
    gitea: ({url: $url, tokenFile: "token"} + if $ca == "" then {} else {caFile: $ca} end),
    repositories: {
      catalog: {owner: $owner, name: "catalog", delivery: "commit"},
      infrastructure: {owner: $owner, name: "infrastructure", delivery: "pull-request"}},
    state: {owner: "\($owner)-states"},
    review: {user: "goldpath-review", repository: {owner: $owner, name: "review"}, owners: ($owners | split(","))},
    author: {name: "Goldpath", email: "goldpath@goldpath.invalid"}}' >"$config"
  show "$config"
  if [ -n "${GITEA_CA_FILE:-}" ] && [ -z "$dry" ]; then cp "$GITEA_CA_FILE" "$poc/goldpath/ca.crt"; fi
}

run_stage() { # NUMBER
  number=$1
  say "stage $number"
  [ -z "$dry" ] || printf '\n# stage %s\n' "$number"
  local arguments=() state_url=()
  case $number in
    1) stage_script 01-setup-cluster.sh ${existing:+--existing} ;;
    2) stage_script 02-install-kratix.sh ${existing:+--existing} --only kratix ;;
    3)
      [ -z "$existing" ] || arguments+=(--existing "$existing" --runner "$infrastructure=$runner")
      [ -z "$host" ] || arguments+=(--host "$host")
      # A runner of one repository cannot be there before it: stage 5 looks.
      [ -z "$existing" ] || arguments=(--existing "$existing")
      stage_script 03-setup-gitea.sh "${arguments[@]}" ;;
    4)
      know_gitea
      # Pods reach Gitea's SSH in the cluster, people at the port of this machine.
      [ -n "$existing" ] || state_url=(--url "ssh://git@gitea-ssh.gitea.svc.cluster.local:22/$state.git")
      stage_script 04-configure-ssh-gitea.sh --repository "$state" "${state_url[@]}" ;;
    5)
      know_gitea
      write_configuration
      arguments=(--config "$poc/goldpath/platform.yaml" --runner "$runner" --credentials "$poc/goldpath")
      if [ -n "$dry" ]; then
        # It reads from Gitea even then.
        printf 'scripts/05-setup-kratix-repo.sh %s\n' "${arguments[*]}"
      else
        stage_script 05-setup-kratix-repo.sh "${arguments[@]}"
      fi
      stage_script 02-install-kratix.sh --existing --only promises --config "$poc/goldpath/platform.yaml" ${GITEA_CA_FILE:+--ca "$poc/goldpath/ca.crt"} --token "$poc/goldpath/token" "${image_options[@]}"
      arguments=(--runner "$infrastructure=$runner" --runner "$review=goldpath-plan" --runner "$review=goldpath-apply")
      if [ -n "$existing" ]; then
        stage_script 03-setup-gitea.sh --existing "$existing" "${arguments[@]}"
      else
        stage_script 03-setup-gitea.sh --only runners "${arguments[@]}"
      fi ;;
    6)
      know_gitea
      [ -z "$dry" ] || [ -s "$poc/goldpath/platform.yaml" ] || write_configuration
      stage_script 06-test-teams.sh --config "$poc/goldpath/platform.yaml" ${GITEA_CA_FILE:+--ca "$poc/goldpath/ca.crt"} --token "$poc/goldpath/token" \
        ${owner_token:+--owner-token "$owner_token"} "${image_options[@]}" ;;
  esac
}

for number in 1 2 3 4 5 6; do
  if [ -n "$only" ]; then [ "$number" = "$only" ] || continue; else [ "$number" -ge "$from" ] || continue; fi
  run_stage "$number"
done
[ -z "$dry" ] || exit 0

say "done in $((SECONDS - begin)) s"
[[ -n $only && $only -lt 5 ]] || know_gitea
if [ -n "${GITEA_URL:-}" ]; then
  cat <<TEXT

  Gitea             $GITEA_URL
  infrastructure    $GITEA_URL/$infrastructure/pulls
  review            $GITEA_URL/$review/actions
  catalog           $GITEA_URL/$catalog
  Kratix's files    $GITEA_URL/$state
  owners            $owners$([ ! -s "$poc/owner.password" ] || printf '; the password is in %s' "$poc/owner.password")
  credentials       $poc
TEXT
fi
cat <<TEXT
  logs              $log_folder

Next:$([ -n "$existing" ] || printf '\n  export KUBECONFIG=%q' "$poc/kubeconfig")
  kubectl apply -f $root/promises/team/resource-request.yaml
  kubectl get teams.platform.kratix.io --watch
TEXT
