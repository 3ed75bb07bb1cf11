#!/usr/bin/env bash
# Runs a runner for the jobs of one repository, in the foreground: Gitea gives it no job of another one.
#
#   start-runner.sh --repository OWNER/NAME --label LABEL --folder FOLDER [--user UID] [--capacity N]
#
#   --label     of `runs-on:`; its jobs run on this machine, without a container
#   --folder    the runner's own: what it knows of itself, its home, its jobs; with the first call it registers
#   --user      the numeric id of the user who it runs as, with a group of the same id; its jobs can read what it can
#   --capacity  so many jobs at the same time (default: 1)
#
# From the environment:
#   GITEA_URL               where Gitea is
#   GITEA_ADMIN_TOKEN_FILE  the token of an administrator of the repository (scope write:repository), in a file; needed
#                           where it is to register
#   GITEA_CA_FILE           the certificate authority of GITEA_URL, if no public one
#   GITEA_RUNNER            the program gitea-runner (default: the one on the PATH)
#   PATH, TF_CLI_CONFIG_FILE  what the jobs get, besides the certificate authority, and nothing else; `goldpath`,
#                           `goldpath-review`, `terraform` and git must be on the PATH
set -euo pipefail
umask 077

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "${BASH_SOURCE[0]}"; }
fail() { # WHAT [HINT]
  printf '%s\n' "runner: $1" >&2
  [ -z "${2:-}" ] || printf '%s\n' "runner: hint: $2" >&2
  exit 1
}

repository='' label='' folder='' user='' capacity=1
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --repository | --label | --folder | --user | --capacity) ;;
    *) fail "unknown option \`$1\`" "see --help" ;;
  esac
  [ -n "${2:-}" ] || fail "\`$1\` needs a value" "see --help"
  printf -v "${1#--}" %s "$2"
  shift 2
done

name='[A-Za-z0-9][A-Za-z0-9._-]*'
[[ $repository =~ ^$name/$name$ ]] || fail "--repository must be OWNER/NAME"
[[ $label =~ ^$name$ ]] || fail "--label must be a label" "as in --label goldpath-apply"
[ -n "$folder" ] || fail "--folder is missing"
[[ $user =~ ^[0-9]*$ ]] || fail "--user must be a number" "as in --user 65532"
[[ $capacity =~ ^[1-9][0-9]*$ ]] || fail "--capacity must be a number"
: "${GITEA_URL:?is not set: see --help}"
server=${GITEA_URL%/}
# As is_private of lib.sh: this one is in an image of its own.
[[ $server =~ ^https://[^/@]+(/.*)?$ || $server =~ ^http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?(/.*)?$ ]] ||
  fail "GITEA_URL would send the token, and the secrets of the jobs, in the clear" "make it https://, as in https://gitea.example.com"
for tool in curl jq git setpriv; do command -v "$tool" >/dev/null || fail "$tool is not on the PATH" "apt-get install curl jq git util-linux"; done
program=$(command -v "${GITEA_RUNNER:-gitea-runner}") || fail "${GITEA_RUNNER:-gitea-runner} is no program" "GITEA_RUNNER names it; see https://gitea.com/gitea/runner"
program=$(realpath "$program")

mkdir -p "$folder/home"
folder=$(cd "$folder" && pwd)
as_user=(env -i "PATH=$PATH" "HOME=$folder/home" LANG=C.UTF-8)
if [ -n "$user" ]; then
  as_user=(setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "${as_user[@]}")
fi

environment=()
if [ -n "${GITEA_CA_FILE:-}" ]; then
  cp --remove-destination "$GITEA_CA_FILE" "$folder/ca.pem" # the user may not reach the other one
  for variable in SSL_CERT_FILE GIT_SSL_CAINFO CURL_CA_BUNDLE; do environment+=("$variable=$folder/ca.pem"); done
fi
[ -z "${TF_CLI_CONFIG_FILE:-}" ] || environment+=("TF_CLI_CONFIG_FILE=$(realpath "$TF_CLI_CONFIG_FILE")")
as_user+=("${environment[@]}")

# JSON is YAML.
printf '%s\n' "${environment[@]}" | jq -Rn --arg folder "$folder" --arg runs_on "$label" --argjson capacity "$capacity" '{
  log: {level: "info"},
  runner: {
    file: "\($folder)/.runner", capacity: $capacity, timeout: "1h", shutdown_timeout: "30s",
    fetch_interval: "1s", fetch_interval_max: "1s", labels: ["\($runs_on):host"],
    envs: ([inputs | select(. != "") | capture("^(?<key>[^=]*)=(?<value>.*)$")] | from_entries)
  },
  cache: {enabled: false},
  host: {workdir_parent: "\($folder)/work"}
}' >"$folder/config.yaml"
[ -z "$user" ] || chown --recursive --no-dereference "$user:$user" "$folder"

may() { "${as_user[@]}" "$@" >/dev/null 2>&1; }
may test -x "$folder/home" || fail "the user ${user:-$(id -u)} cannot reach $folder" "name a folder that others may pass through to, as under /var/lib"
may test -x "$program" || fail "the user ${user:-$(id -u)} cannot run $program" "name a copy of it with GITEA_RUNNER that the user may run"
for tool in goldpath goldpath-review terraform git; do
  may sh -c "$tool version || $tool --version" || fail "\`$tool\` does not run for the user ${user:-$(id -u)}" "put a folder with it on the PATH, which the user may read"
done
[ -z "${TF_CLI_CONFIG_FILE:-}" ] || may test -r "$TF_CLI_CONFIG_FILE" ||
  fail "the user ${user:-$(id -u)} cannot read $TF_CLI_CONFIG_FILE" "name a copy of it with TF_CLI_CONFIG_FILE; the providers that it names must be readable too"

if [ ! -s "$folder/.runner" ]; then
  : "${GITEA_ADMIN_TOKEN_FILE:?is not set: see --help}"
  # Tokens go through pipes: a process's arguments can be read by everybody on the machine.
  token=$(curl --silent --show-error --fail --max-time 60 ${GITEA_CA_FILE:+--cacert "$GITEA_CA_FILE"} --request POST \
    --header @<(printf 'Authorization: token %s\n' "$(<"$GITEA_ADMIN_TOKEN_FILE")") \
    "$server/api/v1/repos/$repository/actions/runners/registration-token" | jq -r .token) ||
    fail "Gitea gives no registration token for $repository" "is it there, with Actions, and the token in GITEA_ADMIN_TOKEN_FILE one of an administrator of it?"
  printf '%s\n' "$token" | (cd "$folder" && "${as_user[@]}" "$program" --config "$folder/config.yaml" register \
    --instance "$server" --name "$label-$(hostname)-$$") >&2 || fail "the runner could not register at $server"
  [ -s "$folder/.runner" ] || fail "the runner did not register at $server"
fi
cd "$folder"
exec "${as_user[@]}" "$program" --config "$folder/config.yaml" daemon
