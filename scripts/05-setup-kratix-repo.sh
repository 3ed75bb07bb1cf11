#!/usr/bin/env bash
# Makes in Gitea what delivery and review need: the catalog, the infrastructure repository, the review repository whose
# workflows hold the tokens, their users, teams, tokens, secrets and protections. Run it again at any time: it changes
# only what differs.
#
#   05-setup-kratix-repo.sh --infrastructure OWNER/NAME --review OWNER/NAME --state OWNER --owners USER,… --runner LABEL
#                           --config FILE [--file FILE]… [--catalog OWNER/NAME] [--credentials FOLDER] [--users PREFIX]
#                           [--rotate] [--dry-run] [--log-folder FOLDER]
#
#   --infrastructure  carries Terraform; an existing one keeps its content and gets the workflow files that it lacks
#   --review          runs `goldpath terraform`; only the owners write it
#   --state           the private organisation whose registry holds Terraform's states
#   --owners          the platform's owners, who are there: they merge, and write the review repository
#   --runner          the label of the runner that rings for the infrastructure repository (variable GOLDPATH_RUNNER)
#   --config          becomes platform.yaml in the review repository
#   --file            a file that it names (policy/*.rego, ca.crt, .terraform.lock.hcl): keeps its path beside the
#                     configuration; without folders if it is elsewhere
#   --catalog         carries Backstage's entities
#   --credentials     where the token of the user who writes pull requests goes, as the file `token`; what is valid stays
#   --users           the users are PREFIX, PREFIX-review, PREFIX-bell and PREFIX-terraform (default: goldpath)
#   --rotate          makes every token anew, and removes the old ones
#   --dry-run         only reads, and prints what it would call
#   --log-folder      where the log goes (default: .goldpath/log)
#
# From the environment:
#   GITEA_URL               where Gitea is, 1.26.2 or later
#   GITEA_ADMIN_TOKEN_FILE  the token of an administrator (scopes: write:admin, write:organization, write:repository,
#                           write:issue, read:user), in a file
#   GITEA_CA_FILE           the certificate authority of GITEA_URL, if no public one
# shellcheck disable=SC2016 # what stands in single quotes are jq's variables
set -euo pipefail
stage=05-setup-kratix-repo
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

infrastructure='' review='' catalog='' state='' owners='' runner='' config='' credentials='' users=goldpath rotate=''
files=()
read_options 'rotate' 'infrastructure review catalog state owners runner config file+ credentials users' "$@"
name='[A-Za-z0-9][A-Za-z0-9._-]*'
for option in infrastructure review ${catalog:+catalog}; do
  [[ ${!option} =~ ^$name/$name$ ]] || fail "--$option must be OWNER/NAME" "as in --$option platform/$option"
done
[[ $state =~ ^$name$ ]] || fail "--state must be an organisation" "as in --state platform"
[[ $runner =~ ^$name$ ]] || fail "--runner must be a label" "as in --runner ubuntu-latest"
[[ $users =~ ^$name$ && ${#users} -le 30 ]] || fail "--users must be the beginning of a user's name, of at most 30 characters"
[[ $owners =~ ^$name(,$name)*$ ]] || fail "--owners must be users with commas between them" "as in --owners alice,bob"
[ "${infrastructure,,}" != "${review,,}" ] || fail "--infrastructure and --review must differ" \
  "who writes a branch of a repository can read all of its secrets"
[ -n "$config" ] || fail "--config is missing" "the file that \`goldpath terraform\` reads; see config.example.yaml"
for file in "$config" "${files[@]}"; do
  if [ ! -f "$file" ] || [ ! -r "$file" ]; then fail "\`$file\` cannot be read"; fi
done
start
need_gitea
server=${GITEA_URL%/}
mapfile -t owners < <(tr , '\n' <<<"$owners" | sort -u)

writer=$users reviewer=$users-review bell=$users-bell terraform=$users-terraform

clean_up() {
  if [ -n "${opened:-}" ] && [ -z "$dry" ]; then ensure_protection "$opened" main "$closed"; fi
  rm -rf "$work"
}
trap clean_up EXIT

# Whether `answer` has all that an object says; lists in any order.
has() { # OBJECT
  jq -e --argjson want "$1" 'def plain: if type == "array" then sort else . end;
    . as $got | $got != null and ($want | to_entries | all(.key as $key | .value | plain == ($got[$key] | plain)))' <<<"$answer" >/dev/null
}

json() { jq -cn "$@"; } # for what is no secret

# Owners and users --------------------------------------------------------------------------------------------------------

ensure_organization() { # NAME
  read_or_null "/orgs/$1"
  if [ "$answer" = null ]; then
    change "private organisation $1" POST /orgs "$(json --arg name "$1" '{username: $name, visibility: "private"}')"
  elif [ "$1" = "$state" ] && ! has '{"visibility": "private"}'; then
    fail "the organisation $1 is not private: every job's token can read its Terraform states" "make it private, or name another --state"
  fi
}

# Only an administrator can give an account this: somebody who takes one of the names beforehand cannot.
mark=goldpath:set-up

ensure_user() { # NAME FULL-NAME VISIBILITY RESTRICTED ADMIN
  local mail=$1@goldpath.invalid want made=''
  want=$(json --arg mail "$mail" --arg full "$2" --arg visibility "$3" --argjson restricted "$4" \
    '{email: $mail, full_name: $full, visibility: $visibility, restricted: $restricted}')
  read_or_null "/users/$1"
  if [ "$answer" = null ]; then
    change "user $1" POST /admin/users "$(jq -c --rawfile password <(random | tr -d '\n') --arg name "$1" --arg mark "$mark" \
      '. + {username: $name, login_name: $mark, source_id: 0, password: $password, must_change_password: false}' <<<"$want")"
    made=1
  elif ! has "$(json --arg mark "$mark" '{login_name: $mark}')"; then
    fail "there is a user or organisation $1 that this script did not make" "name the users otherwise, with --users"
  fi
  if [ -n "$made" ] || ! has "$(jq -c --argjson admin "$5" '. + {is_admin: $admin, active: true, prohibit_login: false}' <<<"$want")"; then
    change "rights of the user $1" PATCH "/admin/users/$1" "$(jq -c --arg mark "$mark" --argjson admin "$5" \
      'del(.email) + {login_name: $mark, source_id: 0, admin: $admin, active: true, prohibit_login: false,
        allow_create_organization: false, max_repo_creation: 0}' <<<"$want")"
  fi
}

# Gitea gives a token, and its pages, only to who has the password: a new one each time, which nobody learns.
declare -A passwords=() authorization=()
sign_in() { # USER
  [ -z "${authorization[$1]:-}" ] && [ -z "$dry" ] || return 0
  passwords[$1]=$(random)
  gitea PATCH "/admin/users/$1" "$(jq -Rc --arg mark "$mark" \
    '{login_name: $mark, source_id: 0, password: ., must_change_password: false}' < <(printf '%s' "${passwords[$1]}"))"
  [[ $status = 2?? ]] || refused PATCH "/admin/users/$1"
  authorization[$1]="Basic $(printf '%s:%s' "$1" "${passwords[$1]}" | base64 --wrap 0)"
}

make_token() { # USER PURPOSE SCOPE…: sets `token` and `token_name`
  local user=$1 purpose=$2; shift 2
  sign_in "$user"
  token_name="$purpose $(openssl rand -hex 4)" token=''
  if [ -n "$dry" ]; then say "would make: token of $user ($*)"; return; fi
  request "${authorization[$user]}" POST "/users/$user/tokens" "$(json --arg name "$token_name" '{name: $name, scopes: $ARGS.positional}' --args "$@")"
  [ "$status" = 201 ] || fail "token of $user: $status $(message)" "another run of this script at the same time? run it again"
  token=$(jq -r .sha1 <<<"$answer")
  say "made: token of $user ($*)"
}

remove_old_tokens() { # USER PURPOSE: all but the one that was just made
  local id
  [ -z "$dry" ] || return 0
  request "${authorization[$1]}" GET "/users/$1/tokens?limit=50"
  for id in $(jq --arg purpose "$2 " --arg name "$token_name" '.[] | select((.name | startswith($purpose)) and .name != $name) | .id' <<<"$answer"); do
    request "${authorization[$1]}" DELETE "/users/$1/tokens/$id"
    [ "$status" = 204 ] || fail "token $id of $1: $status $(message)"
    say "removed: an old token of $1"
  done
}

# Teams and repositories --------------------------------------------------------------------------------------------------

ensure_team() { # ORGANISATION NAME DESCRIPTION RIGHTS [OWNER/NAME] -- MEMBER…: exactly these
  local organization=$1 team=$2 description=$3 rights=$4 repository='' id want member
  shift 4
  if [ "$1" != -- ]; then repository=$1; shift; fi
  shift
  want=$(jq -c --arg name "$team" --arg description "$description" \
    '. + {name: $name, description: $description, includes_all_repositories: false, can_create_org_repo: false}' <<<"$rights")
  read_or_null "/orgs/$organization/teams/search?limit=50&q=$team"
  answer=$(jq -c --arg name "$team" '[.data[]? | select(.name == $name)][0]' <<<"$answer")
  id=$(jq -r '.id // empty' <<<"$answer")
  if [ -z "$id" ]; then
    change "team $team of $organization" POST "/orgs/$organization/teams" "$want"
    id=$(jq -r '.id // 0' <<<"$answer")
  elif ! has_rights "$want"; then
    change "rights of the team $team of $organization" PATCH "/teams/$id" "$want"
  fi
  if [ -n "$repository" ]; then
    read_or_null "/teams/$id/repos?limit=50"
    jq -e --arg name "$repository" 'any(.[]?; .full_name == $name)' <<<"$answer" >/dev/null ||
      change "$repository for the team $team" PUT "/teams/$id/repos/$repository"
  fi
  read_or_null "/teams/$id/members?limit=50"
  local members; members=$(jq -r '.[]?.login' <<<"$answer")
  for member in "$@"; do
    grep -Fxiq -- "$member" <<<"$members" || change "$member in the team $team of $organization" PUT "/teams/$id/members/$member"
  done
  for member in $members; do
    printf '%s\n' "$@" | grep -Fxiq -- "$member" ||
      change "$member out of the team $team of $organization" DELETE "/teams/$id/members/$member"
  done
}

# Gitea names every unit that a team has, and answers `none` for the permission of a team with units.
has_rights() { # OBJECT, with units_map or with permission
  jq -e --argjson want "$1" '. as $got | [$want | del(.units_map, .permission) | to_entries[] | .value == $got[.key]] | all' <<<"$answer" >/dev/null &&
    if jq -e .units_map <<<"$1" >/dev/null; then
      jq -e --argjson want "$1" '(.units_map | map_values(select(. != "none"))) == $want.units_map' <<<"$answer" >/dev/null
    else
      has "$(jq -c '{permission}' <<<"$1")"
    fi
}

ensure_repository() { # OWNER/NAME
  read_or_null "/repos/$1"
  if [ "$answer" = null ]; then
    change "private repository $1" POST "/orgs/${1%/*}/repos" \
      "$(json --arg name "${1#*/}" '{name: $name, private: true, default_branch: "main", auto_init: false}')"
    read_or_null "/repos/$1"
  fi
  [ "$answer" = null ] || has '{"private": true}' || fail "$1 is public" "make it private, or name another repository"
  [ "$answer" = null ] || has '{"default_branch": "main"}' || fail "the default branch of $1 is not \`main\`" "rename it, or name another repository"
  has '{"has_actions": true, "has_pull_requests": true, "has_issues": true}' ||
    change "Actions, issues and pull requests of $1" PATCH "/repos/$1" '{"has_actions": true, "has_pull_requests": true, "has_issues": true}'
}

ensure_protection() { # OWNER/NAME RULE SETTINGS
  local rule=${2//\*/%2A}
  read_or_null "/repos/$1/branch_protections/$rule"
  if [ "$answer" = null ]; then
    change "protection of $2 in $1" POST "/repos/$1/branch_protections" "$(jq -c --arg rule "$2" '. + {rule_name: $rule}' <<<"$3")"
  elif ! has "$3"; then
    change "protection of $2 in $1" PATCH "/repos/$1/branch_protections/$rule" "$3"
  fi
}

ensure_tag_protection() { # OWNER/NAME
  read_or_null "/repos/$1/tag_protections"
  local want='{"name_pattern": "**", "whitelist_teams": ["platform-owners"], "whitelist_usernames": []}'
  answer=$(jq -c '[.[]? | select(.name_pattern == "**")][0]' <<<"$answer")
  if [ "$answer" = null ]; then
    change "protection of tags in $1" POST "/repos/$1/tag_protections" "$want"
  elif ! has '{"whitelist_teams": ["platform-owners"]}'; then
    change "protection of tags in $1" PATCH "/repos/$1/tag_protections/$(jq .id <<<"$answer")" "$want"
  fi
}

ensure_variable() { # OWNER/NAME NAME VALUE
  read_or_null "/repos/$1/actions/variables/$2"
  ! has "$(json --arg value "$3" '{data: $value}')" || return 0
  local method=PUT; [ "$answer" != null ] || method=POST
  change "variable $2 of $1" $method "/repos/$1/actions/variables/$2" "$(json --arg name "$2" --arg value "$3" '{name: $name, value: $value}')"
}

ensure_secret() { # OWNER/NAME NAME USER SCOPE…
  local repository=$1 secret=$2 user=$3; shift 3
  local purpose="$secret of $repository,"
  read_or_null "/repos/$repository/actions/secrets?limit=50"
  if [ -z "$rotate" ] && jq -e --arg name "$secret" 'any(.[]?; .name == $name)' <<<"$answer" >/dev/null; then return; fi
  make_token "$user" "$purpose" "$@"
  change "secret $secret of $repository" PUT "/repos/$repository/actions/secrets/$secret" "$(jq -Rc '{data: .}' < <(printf '%s' "$token"))"
  remove_old_tokens "$user" "$purpose"
}

# What no API of Gitea's tells or sets ------------------------------------------------------------------------------------

page() { # PATH [CURL-ARGUMENT…], with what curl sends on stdin: sets `answer`
  local arguments=(--silent --show-error --max-time 60 --cookie "$work/cookies" --cookie-jar "$work/cookies")
  [ -z "${GITEA_CA_FILE:-}" ] || arguments+=(--cacert "$GITEA_CA_FILE")
  answer=$(curl "${arguments[@]}" "${@:2}" "$server$1" 2>>"$log") || fail "$1: no answer from $GITEA_URL" "see GITEA_URL and GITEA_CA_FILE"
}

# Whether the automatic token of a workflow of this repository may read, and nothing else, whatever the workflow says.
reads_only() { # OWNER/NAME
  page "/$1/settings/actions/general"
  grep -q 'name="override_owner_config" checked' <<<"$answer" && grep -q 'value="restricted" checked' <<<"$answer" &&
    grep -q 'name="enable_max_permissions" checked' <<<"$answer" && ! grep -q 'value="write" checked' <<<"$answer"
}

# A workflow on any branch could change other branches with it, in nobody's name. The administrator whom this script has
# made signs in to the page where that is set.
ensure_reading_jobs() { # OWNER/NAME
  local unit units=()
  if [ -n "$dry" ]; then say "would look: what workflows of $1 may do"; return; fi
  sign_in "$terraform"
  page /user/login --output /dev/null --data-urlencode "user_name=$terraform" --data-urlencode password@- < <(printf '%s' "${passwords[$terraform]}")
  ! reads_only "$1" || return 0
  grep -q token_permission_mode <<<"$answer" || return 0 # no sign-in by password: the check says what to do
  # Code, releases and packages can be read; the numbers are those of Gitea's units.
  for unit in 1 4 9; do units+=(--data "max_unit_access_mode_$unit=read"); done
  page "/$1/settings/actions/general/token_permissions" --output /dev/null --data override_owner_config=on \
    --data token_permission_mode=restricted --data enable_max_permissions=on "${units[@]}"
  changes=$((changes + 1))
  say "made: workflows of $1 read, and write nothing"
}

# Files -------------------------------------------------------------------------------------------------------------------

# Whether `path` on main has the content of a file: 0 yes, 1 no, 2 it is not there; sets `sha`.
compare() { # OWNER/NAME PATH FILE
  read_or_null "/repos/$1/contents/$(json --arg path "$2" '$path | split("/") | map(@uri) | join("/")' -r)?ref=main"
  [ "$answer" != null ] || return 2
  sha=$(jq -r .sha <<<"$answer")
  jq -r '.content // ""' <<<"$answer" | base64 --decode | cmp --silent - "$3"
}

ensure_files() { # OWNER/NAME add|update PROTECTION MESSAGE (PATH FILE)…
  local repository=$1 mode=$2 protection=$3 text=$4 operations='[]' paths=() result; shift 4
  while [ $# -gt 0 ]; do
    result=0
    compare "$repository" "$1" "$2" || result=$?
    if [ $result = 1 ] && [ "$mode" = add ]; then
      say "note: $1 in $repository is not the one of this version ($2); it stays"
    elif [ $result != 0 ]; then
      base64 --wrap 0 "$2" >"$work/content"
      [ $result = 2 ] && sha=''
      operations=$(jq -c --arg path "$1" --arg sha "$sha" --rawfile content "$work/content" \
        '. + [{operation: (if $sha == "" then "create" else "update" end), path: $path, content: $content}
              + if $sha == "" then {} else {sha: $sha} end]' <<<"$operations")
      paths+=("$1")
    fi
    shift 2
  done
  [ ${#paths[@]} -gt 0 ] || return 0
  open_protection "$repository" "$protection"
  printf '%s' "$operations" >"$work/operations"
  change "commit in $repository: ${paths[*]}" POST "/repos/$repository/contents" \
    "$(json --arg message "$text" --slurpfile files "$work/operations" '{branch: "main", message: $message, files: $files[0]}')"
}

# `main` takes no push of ours, and no change of a bell, but for the moment of a commit.
open_protection() { # OWNER/NAME SETTINGS: what it is closed with again
  read_or_null "/repos/$1/branches/main"
  has '{"protected": true}' || return 0
  opened=$1 closed=$2
  ensure_protection "$1" main "$(jq -c --arg admin "$admin" '. + {enable_push: true, enable_push_whitelist: true,
    push_whitelist_usernames: [$admin], push_whitelist_teams: [], protected_file_patterns: ""}' <<<"$2")"
}

# A branch without workflows: one in it could be run with the secrets.
ensure_records() { # OWNER/NAME
  read_or_null "/repos/$1/branches/records"
  [ "$answer" = null ] || return 0
  read_or_null "/repos/$1/git/trees/main?recursive=true&per_page=1000"
  change "branch records of $1" POST "/repos/$1/contents" "$(jq -c --arg text "$(base64 --wrap 0 <<<'Kept by `goldpath terraform`: what was applied.')" \
    '{branch: "main", new_branch: "records", message: "Begin the records",
      files: ([.tree[]? | select(.type == "blob") | {operation: "delete", path, sha}] + [{operation: "create", path: "RECORDS.md", content: $text}])}' <<<"$answer")"
}

# Whose the names of the configuration are: who takes one that its account has given up is not taken for that one.
ensure_accounts() { # OWNER/NAME USER…
  local repository=$1 user known sha want; shift
  read_or_null "/repos/$repository/contents/accounts.json?ref=records"
  sha=$(jq -r '.sha // empty' <<<"$answer")
  known=$(jq -c '(.content // "e30=") | @base64d | fromjson' <<<"$answer")
  want=$known
  for user in "$@"; do
    read_or_null "/users/$user"
    [ "$answer" != null ] || continue # a user that a dry run has not made
    want=$(jq -c --argjson user "$answer" '($user.login | ascii_downcase) as $name | if has($name) then . else .[$name] = $user.id end' <<<"$want")
    jq -e --argjson user "$answer" '.[$user.login | ascii_downcase] == $user.id' <<<"$want" >/dev/null ||
      fail "$user is another account than the one that is recorded in accounts.json on \`records\` of $repository" \
        "if that is right, remove the name there, and run this again"
  done
  [ "$want" != "$known" ] || return 0
  changes=$((changes + 1))
  if [ -n "$dry" ]; then say "would record: whose the owners' names are"; return; fi
  sign_in "$reviewer"
  request "${authorization[$reviewer]}" "$([ -n "$sha" ] && echo PUT || echo POST)" "/repos/$repository/contents/accounts.json" \
    "$(jq --sort-keys . <<<"$want" | jq -Rsc --arg sha "$sha" '{branch: "records", message: "Remember whose these names are", content: @base64}
      + if $sha == "" then {} else {sha: $sha} end')"
  [[ $status = 20? ]] || fail "accounts.json in $repository: $status $(message)"
  say "recorded: whose the owners' names are"
}

# Whoever has the bell's token can edit what the bell has written, and nothing else: so it writes the two issues.
ensure_bell() { # WORKFLOW VARIABLE: sets `number`
  local body
  body=$(json --arg title "$1" '{title: $title, body: "Every edit of this issue starts the workflow \($title)."}')
  read_or_null "/repos/$review/actions/variables/$2"
  number=$(jq -r '.data // empty' <<<"$answer")
  answer=null
  [ -z "$number" ] || read_or_null "/repos/$review/issues/$number"
  if ! jq -e --arg bell "$bell" '.user.login == $bell and .pull_request == null' <<<"$answer" >/dev/null; then
    sign_in "$bell"
    changes=$((changes + 1))
    number=0
    if [ -n "$dry" ]; then
      say "would make: issue $1 in $review"
    else
      request "${authorization[$bell]}" POST "/repos/$review/issues" "$body"
      [ "$status" = 201 ] || fail "issue $1 in $review: $status $(message)"
      number=$(jq .number <<<"$answer")
      say "made: issue $1 in $review"
    fi
  elif ! has "$(jq -c '{title}' <<<"$body")"; then
    change "title of the issue $1 in $review" PATCH "/repos/$review/issues/$number" "$(jq -c '{title}' <<<"$body")"
  fi
  ensure_variable "$review" "$2" "$number"
  ensure_variable "$infrastructure" "GOLDPATH_$2" "$number"
}

# -------------------------------------------------------------------------------------------------------------------------

read_or_null /user
admin=$(jq -r .login <<<"$answer")
has '{"is_admin": true}' || fail "$admin is no administrator of $server" "see GITEA_ADMIN_TOKEN_FILE in --help"
for owner in "${owners[@]}"; do
  read_or_null "/users/$owner"
  [ "$answer" != null ] || fail "there is no user \`$owner\`" "--owners names people who have an account"
done

for organization in $(printf '%s\n' "${infrastructure%/*}" "${review%/*}" "$state" ${catalog:+"${catalog%/*}"} | sort -u); do ensure_organization "$organization"; done
ensure_user "$writer" "Goldpath" limited true false
ensure_user "$reviewer" "Goldpath review" limited true false
ensure_user "$bell" "Goldpath bell" private true false
# An administrator, because the provider asks for /admin/orgs.
ensure_user "$terraform" "Goldpath Terraform" private false true
ensure_repository "$infrastructure"
ensure_repository "$review"
[ -z "$catalog" ] || ensure_repository "$catalog"

owners_rights='{"permission": "admin"}'
for repository in "$infrastructure" "$review"; do
  ensure_team "${repository%/*}" platform-owners "Merge infrastructure, and write the review repository" "$owners_rights" "$repository" -- "${owners[@]}"
done
ensure_team "${infrastructure%/*}" goldpath-writer "Proposes" \
  '{"units_map": {"repo.code": "write", "repo.pulls": "write", "repo.issues": "write"}}' "$infrastructure" -- "$writer"
# Writers take turns by means of a release.
[ -z "$catalog" ] ||
  ensure_team "${catalog%/*}" goldpath-catalog "Writes the catalog" '{"units_map": {"repo.code": "write", "repo.releases": "write"}}' "$catalog" -- "$writer"
ensure_team "${infrastructure%/*}" goldpath-review "Says what a plan would do" \
  '{"units_map": {"repo.code": "write", "repo.pulls": "write", "repo.issues": "write"}}' "$infrastructure" -- "$reviewer"
ensure_team "${review%/*}" goldpath-records "Records what was applied" '{"units_map": {"repo.code": "write"}}' "$review" -- "$reviewer"
ensure_team "${review%/*}" goldpath-bell "Rings" '{"units_map": {"repo.issues": "read"}}' "$review" -- "$bell"
ensure_team "$state" goldpath-state "Keeps Terraform's states" '{"units_map": {"repo.packages": "write"}}' -- "$reviewer"
# For `track`, which reads what Terraform has made.
ensure_team "$state" goldpath-state-reader "Reads Terraform's states" '{"units_map": {"repo.packages": "read"}}' -- "$writer"

ensure_variable "$review" STATE_USERNAME "$reviewer"
ensure_secret "$review" REVIEW_TOKEN "$reviewer" write:repository write:issue read:user
ensure_secret "$review" PLAN_STATE_TOKEN "$reviewer" read:package
ensure_secret "$review" APPLY_STATE_TOKEN "$reviewer" write:package
ensure_secret "$review" PLAN_GITEA_TOKEN "$terraform" read:admin read:organization read:package read:repository read:user
ensure_secret "$review" APPLY_GITEA_TOKEN "$terraform" read:admin write:organization read:package read:repository read:user

owners_only='{"enable_push": true, "enable_push_whitelist": true, "push_whitelist_teams": ["platform-owners"],
  "push_whitelist_usernames": [], "enable_force_push": false, "protected_file_patterns": ""}'
# The first rule that fits counts.
main=$(jq -c '. + {priority: 1}' <<<"$owners_only")
other=$(jq -c '. + {priority: 3}' <<<"$owners_only")
# A workflow in it could be run with the secrets.
records=$(json --arg user "$reviewer" '{enable_push: true, enable_push_whitelist: true, push_whitelist_usernames: [$user],
  push_whitelist_teams: [], enable_force_push: false, protected_file_patterns: ".gitea/**;.github/**", priority: 2}')

workflows=$root/pipelines/gitea/review/.gitea/workflows
arguments=(platform.yaml "$config")
for file in "${files[@]}"; do
  path=$(realpath --no-symlinks --relative-to "$(dirname "$config")" "$file")
  [[ $path != ../* ]] || path=${file##*/}
  arguments+=("$path" "$file")
done
for file in "$workflows"/*.yaml; do arguments+=(".gitea/workflows/${file##*/}" "$file"); done
ensure_files "$review" update "$main" "Review with Goldpath" "${arguments[@]}"
ensure_records "$review"
ensure_protection "$review" main "$main"
opened=''
ensure_protection "$review" records "$records"
ensure_protection "$review" '**' "$other"
ensure_tag_protection "$review"
ensure_accounts "$review" "$reviewer" "${owners[@]}"

ensure_variable "$infrastructure" GOLDPATH_REVIEW "$review"
ensure_variable "$infrastructure" GOLDPATH_RUNNER "$runner"
ensure_bell plan PLAN_BELL
ensure_bell apply APPLY_BELL
ensure_secret "$infrastructure" GOLDPATH_BELL_TOKEN "$bell" write:issue
# An owner who could override would merge what is not planned; who must, changes the rule, which Gitea shows.
main='{"enable_push": false, "enable_push_whitelist": false, "push_whitelist_teams": [], "push_whitelist_usernames": [],
  "enable_merge_whitelist": true, "merge_whitelist_teams": ["platform-owners"], "merge_whitelist_usernames": [],
  "required_approvals": 1, "dismiss_stale_approvals": true, "block_on_rejected_reviews": true,
  "enable_status_check": true, "status_check_contexts": ["goldpath/plan"],
  "protected_file_patterns": ".gitea/**", "block_admin_merge_override": true, "enable_force_push": false}'
arguments=()
for file in "$root"/pipelines/gitea/infrastructure/.gitea/workflows/*.yaml; do arguments+=(".gitea/workflows/${file##*/}" "$file"); done
read_or_null "/repos/$infrastructure"
if [ "$answer" = null ] || has '{"empty": true}'; then arguments+=(README.md "$root/pipelines/gitea/README.md"); fi
ensure_files "$infrastructure" add "$main" "Ring for review" "${arguments[@]}"
ensure_protection "$infrastructure" main "$main"
opened=''
ensure_reading_jobs "$infrastructure"

if [ -n "$credentials" ]; then
  valid=''
  if [ -z "$rotate" ] && [ -s "$credentials/token" ]; then
    request "token $(<"$credentials/token")" GET "/repos/$infrastructure"
    if [ "$status" = 200 ] && has '{"permissions": {"admin": false, "push": true, "pull": true}}'; then valid=1; fi
  fi
  if [ -z "$valid" ]; then
    make_token "$writer" "commit to $infrastructure," write:repository write:issue read:organization read:package
    if [ -z "$dry" ]; then
      mkdir -p "$credentials"
      printf '%s\n' "$token" >"$credentials/token.new"
      mv "$credentials/token.new" "$credentials/token"
    fi
    changes=$((changes + 1))
    remove_old_tokens "$writer" "commit to $infrastructure,"
  fi
fi

[ -z "$dry" ] || { say "would make $changes changes"; exit 0; }

# Is it so? ---------------------------------------------------------------------------------------------------------------

faults=0
wrong() { faults=$((faults + 1)); say "wrong: $1"; say "hint: $2"; }

check_protection() { # OWNER/NAME BRANCH RULE
  read_or_null "/repos/$1/branches/$2"
  has "$(json --arg rule "$3" '{effective_branch_protection_name: $rule}')" ||
    wrong "$2 of $1 is protected by the rule \`$(jq -r .effective_branch_protection_name <<<"$answer")\`, not by \`$3\`" \
      "remove other rules of $server/$1/settings/branches, or move them down"
}

check_names() { # OWNER/NAME NAME…: secrets
  local repository=$1 secret; shift
  read_or_null "/repos/$repository/actions/secrets?limit=50"
  for secret in "$@"; do
    jq -e --arg name "$secret" 'any(.[]; .name == $name)' <<<"$answer" >/dev/null || wrong "$repository has no secret $secret" "run this again"
  done
}

check_access() { # USER OWNER/NAME PERMISSION
  read_or_null "/repos/$2/collaborators/$1/permission"
  has "$(json --arg permission "$3" '{permission: $permission}')" ||
    wrong "$1 has \`$(jq -r '.permission // "nothing"' <<<"$answer")\` in $2, not \`$3\`" "look for other teams and collaborators at $server/$2/settings/collaboration"
}

check_protection "$infrastructure" main main
check_protection "$review" main main
check_protection "$review" records records
read_or_null "/repos/$review/actions/workflows"
disabled=$(jq -r '.workflows[]? | select(.state != "active") | .id' <<<"$answer" | paste -sd ' ')
[ -z "$disabled" ] || wrong "disabled in $review: $disabled" "enable it at $server/$review/actions"
check_names "$review" REVIEW_TOKEN PLAN_STATE_TOKEN APPLY_STATE_TOKEN PLAN_GITEA_TOKEN APPLY_GITEA_TOKEN
check_names "$infrastructure" GOLDPATH_BELL_TOKEN
hint="at $server/$infrastructure/settings/actions/general: do not follow the owner, restricted, and no \`write\` in the maximum"
if ! reads_only "$infrastructure"; then
  if grep -q token_permission_mode <<<"$answer"; then
    wrong "workflows of $infrastructure may write" "$hint"
  else
    say "note: whether workflows of $infrastructure may write cannot be seen, because $terraform cannot sign in with a password: look $hint"
  fi
fi
page /user/logout --output /dev/null --request POST
check_access "$bell" "$infrastructure" none
check_access "$bell" "$review" none # beside what its team has
check_access "$writer" "$review" none
read_or_null "/repos/$review/teams"
extra=$(jq -r '.[]?.name | select(IN("Owners", "platform-owners", "goldpath-records", "goldpath-bell") | not)' <<<"$answer" | paste -sd ' ')
[ -z "$extra" ] || wrong "further teams have access to $review: $extra" "who can write it has every token: take it away from them"
read_or_null "/repos/$review/collaborators?limit=50"
extra=$(jq -r '.[]?.login' <<<"$answer" | paste -sd ' ')
[ -z "$extra" ] || wrong "further people have access to $review: $extra" "who can write it has every token: put them among the --owners, or take it away"
read_or_null "/users/$reviewer"
id=$(jq -r .id <<<"$answer")
grep -Eq "userId: *$id( |,|}|\$)" "$config" || say "note: write \`userId: $id\` beside \`user\` of \`review\` in the configuration of the Pipelines: who gets the name later is then not believed"
[ $faults = 0 ] || fail "$faults things are not as they must be"
if [ $changes = 0 ]; then say "nothing to change"; else say "made $changes changes"; fi
