#!/usr/bin/env bash
# What the stages of the proof of concept share; sourced by them, never run. A stage sets `stage` first, its name in
# messages and of its log. `dry` is not empty with --dry-run: then nothing is changed, and every command and manifest is
# printed on stdout.
# shellcheck disable=SC2034,SC2154 # set here for the stages, and there for this
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p; q}' "$root/Cargo.toml")
default_image=localhost/goldpath:$version
# shellcheck source=scripts/versions.sh
. "$root/scripts/versions.sh"

# Credentials, certificates and the kubeconfig of what the stages make.
poc=${GOLDPATH_POC:-$root/.goldpath/poc}
dry='' log_folder=$root/.goldpath/log log=/dev/null changes=0

usage() { sed -n '2,/^set -/{/^set -/d; /^# shellcheck/d; s/^# \{0,1\}//; p}' "$0"; }
say() {
  printf '%s\n' "$stage: $*" >&2
  [ "$log" = /dev/null ] || printf '%s\n' "$stage: $*" >>"$log"
}
fail() { # WHAT [HINT]
  say "$1"
  [ -z "${2:-}" ] || say "hint: $2"
  exit 1
}

# Sets the variables that are called as the options are, with _ for -: one without a value becomes 1, and one that may be
# repeated (`file+`) goes into an array (`files`).
read_options() { # 'NAME…' without a value, 'NAME…' with one, WORD…
  local plain=" $1 " valued=" $2 log-folder " option; shift 2
  while [ $# -gt 0 ]; do
    option=${1#--}
    [[ $1 != -h && $option != help ]] || { usage; exit 0; }
    if [ "$1" = --dry-run ]; then dry=1; shift; continue; fi
    [[ $1 =~ ^--[a-z-]+$ && "$plain$valued" =~ \ $option\+?\  ]] || fail "unknown option \`$1\`" "see --help"
    option=${option//-/_}
    if [[ $plain == *" ${1#--} "* ]]; then printf -v "$option" 1; shift; continue; fi
    [ -n "${2:-}" ] || fail "\`$1\` needs a value" "see --help"
    if [[ $valued == *" ${1#--}+ "* ]]; then
      local -n list=${option}s
      list+=("$2")
    else
      printf -v "$option" %s "$2"
    fi
    shift 2
  done
}

# Called when the options are read. What the stage runs prints into the log; the terminal gets a line for what was done.
start() {
  umask 077
  if [ -z "$dry" ]; then
    mkdir -p "$log_folder" "$poc"
    log=$(cd "$log_folder" && pwd)/$stage.log
    printf '\n%s: started %s\n' "$stage" "$(date --utc +%Y-%m-%dT%H:%M:%SZ)" >>"$log"
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # The cluster of stage 1, unless another one is named.
  if [ -z "${KUBECONFIG:-}" ] && [ -s "$poc/kubeconfig" ]; then export KUBECONFIG=$poc/kubeconfig; fi
}

declare -A places=(
  [kubectl]='https://kubernetes.io/docs/tasks/tools' [helm]='https://helm.sh/docs/intro/install' [kind]='https://kind.sigs.k8s.io'
  [docker]='https://docs.docker.com/engine/install' [ssh]='it is in the Debian package openssh-client'
  [cargo]='https://rustup.rs' [readelf]='it is in the Debian package binutils' [sha256sum]='it is in the Debian package coreutils'
  [ctr]='it is in the Debian package containerd' [ssh-keygen]='it is in the Debian package openssh-client' [ssh-keyscan]='it is in the Debian package openssh-client'
)
need() { # TOOL…
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null && continue
    if [ -n "$dry" ]; then say "note: $tool is not on the PATH"; continue; fi
    fail "$tool is not on the PATH" "${places[$tool]:-it is in the Debian package $tool}"
  done
}

# The program of this version: built already, on the PATH, or built now. Sets `program`.
need_goldpath() {
  program=${GOLDPATH_BINARIES:+$GOLDPATH_BINARIES/}goldpath
  [[ $("$program" --version 2>/dev/null) == "goldpath ${version#v}" ]] && return
  [ -z "${GOLDPATH_BINARIES:-}" ] || fail "$program is not of $version" "build it, or unset GOLDPATH_BINARIES"
  need cargo
  say "builds goldpath"
  (cd "$root" && cargo build --locked --release --bin goldpath >>"$log" 2>&1) || fail "goldpath could not be built" "all that cargo said is in $log"
  program=${CARGO_TARGET_DIR:-$root/target}/release/goldpath
}

show() { # FILE: as a command that writes it
  [ -n "$dry" ] || return 0
  printf 'cat >%s <<YAML\n' "${1#"$work/"}"
  cat "$1"
  printf 'YAML\n'
}

# Commands are printed and logged: they hold no secret.
run() { # COMMAND…
  if [ -n "$dry" ]; then printf '%q ' "${@//"$work/"/}" | sed 's/ $/\n/'; return; fi
  printf '+ %s\n' "${*@Q}" >>"$log"
  "$@" >>"$log" 2>&1 || { tail -n 15 "$log" >&2; fail "\`$1 ${2:-}\` failed" "all that it said is in $log"; }
}

apply() { # manifests from stdin
  if [ -n "$dry" ]; then
    printf 'kubectl apply -f - <<YAML\n'
    cat
    printf 'YAML\n'
    return
  fi
  kubectl apply -f - >>"$log" 2>&1 || { tail -n 15 "$log" >&2; fail "the API server refused a manifest" "all that it said is in $log"; }
}

# A Secret whose values come from files, and go to kubectl through a pipe.
apply_secret() { # NAMESPACE NAME KEY=FILE…
  local namespace=$1 name=$2 entry; shift 2
  if [ -n "$dry" ]; then
    printf 'kubectl apply -f - # Secret %s in %s, keys %s\n' "$name" "$namespace" "$(for entry in "$@"; do printf '%s ' "${entry%%=*}"; done)"
    return
  fi
  kubectl create secret generic "$name" --namespace "$namespace" "${@/#/--from-file=}" --dry-run=client -o json |
    jq '.metadata.labels = {"app.kubernetes.io/part-of": "goldpath-poc"}' | kubectl apply -f - >>"$log" 2>&1 ||
    fail "the Secret $name in $namespace could not be written" "all that the API server said is in $log"
}

# Looks again until it is so; never sleeps longer than that takes.
wait_for() { # SECONDS WHAT HINT COMMAND…
  local until=$((SECONDS + $1)) what=$2 hint=$3; shift 3
  [ -z "$dry" ] || return 0
  until "$@" >>"$log" 2>&1; do
    [ $SECONDS -lt $until ] || fail "gave up waiting for $what" "$hint"
    sleep 1
  done
}

cluster_answers() { kubectl get --raw /readyz --request-timeout=5s; }
need_cluster() {
  need kubectl
  [ -z "$dry" ] || return 0
  cluster_answers >>"$log" 2>&1 || fail "no Kubernetes answers to kubectl" "stage 1 makes one; or set KUBECONFIG"
}

# A manifest from the network, compared with its digest.
fetch() { # URL DIGEST FILE
  [ -n "$2" ] || say "note: $1 is not pinned by a digest: scripts/versions.sh --pin"
  if [ -n "$dry" ]; then printf 'curl --fail --location --output %q %q # %s\n' "${3##*/}" "$1" "${2:-not pinned}"; return; fi
  run curl --silent --show-error --fail --location --max-time 120 --retry 3 --output "$3" "$1"
  [[ -z $2 || sha256:$(sha256sum <"$3" | cut -d' ' -f1) == "$2" ]] || fail "$1 is not what it was: its digest is another" "see scripts/versions.sh"
}

pinned() { # IMAGE DIGEST
  [ -n "$2" ] || say "note: $1 is not pinned by a digest: scripts/versions.sh --pin"
  printf '%s' "$1${2:+@$2}"
}

random() { openssl rand -hex 24; }

# Gitea. Secrets go through pipes: a process's arguments can be read by everybody on the machine.
request() { # AUTHORIZATION METHOD PATH [BODY]: sets `status` and `answer`
  local arguments=(--silent --show-error --max-time 60 --output "$work/answer" --write-out '%{http_code}' --request "$2")
  [ -z "${GITEA_CA_FILE:-}" ] || arguments+=(--cacert "$GITEA_CA_FILE")
  [ -z "${4:-}" ] || arguments+=(--header 'Content-Type: application/json' --data-binary @-)
  : >"$work/answer"
  status=$(printf '%s' "${4:-}" | curl "${arguments[@]}" --header @<(printf 'Authorization: %s\n' "$1") "${GITEA_URL%/}/api/v1$3" 2>>"$log") ||
    fail "$2 $3: no answer from $GITEA_URL" "see GITEA_URL and GITEA_CA_FILE"
  answer=$(<"$work/answer")
}
gitea() { # METHOD PATH [BODY]
  # Before stage 3 there is nothing to be read.
  if [ -n "$dry" ] && [ ! -s "$GITEA_ADMIN_TOKEN_FILE" ]; then status=404 answer=null; return; fi
  request "token $(<"$GITEA_ADMIN_TOKEN_FILE")" "$@"
}
read_or_null() { # PATH: `answer` is null if it is not there
  gitea GET "$1"
  case $status in
    200) ;;
    404) answer=null ;;
    *) refused GET "$1" ;;
  esac
}
refused() { # METHOD PATH
  fail "$1 $2: $status $(message)" "the token in $GITEA_ADMIN_TOKEN_FILE must be an administrator's, with the scopes that \`goldpath platform setup --help\` names"
}
message() { jq -r '.message // .' <<<"$answer" 2>/dev/null | head -c 300; }
change() { # WHAT METHOD PATH [BODY]
  changes=$((changes + 1))
  if [ -n "$dry" ]; then printf '# %s\n%s %s/api/v1%s\n' "$1" "$2" "${GITEA_URL%/}" "$3"; answer=null; return; fi
  gitea "$2" "$3" "${4:-}"
  case $status in
    2??) say "made: $1" ;;
    *) refused "$2" "$3" ;;
  esac
}
# Whether nobody reads on the way what is sent to a URL: by https, or on this machine. As `gitea.url` of the configuration.
is_private() { # URL
  [[ $1 =~ ^https://[^/@]+(/.*)?$ || $1 =~ ^http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?(/.*)?$ ]]
}
need_gitea() {
  need curl jq openssl
  if [ -z "${GITEA_URL:-}" ] && [ -s "$poc/gitea.env" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$poc/gitea.env"
    set +a
  fi
  local variable
  for variable in GITEA_URL GITEA_ADMIN_TOKEN_FILE; do
    [ -n "${!variable:-}" ] || fail "$variable is not set" "see --help"
  done
  is_private "$GITEA_URL" || fail "GITEA_URL would send the administrator's token in the clear" "make it https://, as in https://gitea.example.com"
  [ -n "$dry" ] || [ -s "$GITEA_ADMIN_TOKEN_FILE" ] || fail "$GITEA_ADMIN_TOKEN_FILE cannot be read"
}
