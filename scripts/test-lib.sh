#!/usr/bin/env bash
# What the suites share; sourced by them, never run. A suite sets `suite` first, its name in messages.
# shellcheck disable=SC2154 # set there for this
set -euo pipefail
shopt -s nullglob

usage() { sed -n '2,/^set -/{/^set -/d; s/^# \{0,1\}//; p}' "$0" >&2; exit 2; }
say() { printf '%s\n' "$suite: $*"; }
fail() { printf '%s\n' "$suite: $*" >&2; exit 1; }

need_tools() { # TOOL…
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || fail "$tool is not on the PATH"; done
}

need() { # VARIABLE WHAT
  [ -n "${!1:-}" ] || fail "$1 is not set: $2 (see the head of this script)"
}

need_file() { # VARIABLE WHAT
  need "$1" "$2"
  [ -r "${!1}" ] || fail "$1 names ${!1}, which cannot be read: $2"
}

need_cluster() {
  need KUBECONFIG "a Kubernetes API server"
  kubectl get --raw /readyz >/dev/null 2>&1 || fail "no Kubernetes API server answers with KUBECONFIG=$KUBECONFIG"
}

need_gitea() {
  need GITEA_URL "a Gitea"
  need_file GITEA_TOKEN_FILE "the token of an administrator of GITEA_URL"
  need_file GITEA_CA_FILE "the certificate authority of GITEA_URL"
  need_file TF_CLI_CONFIG_FILE "Terraform finds the provider go-gitea/gitea with it"
  curl -sf --cacert "$GITEA_CA_FILE" -o /dev/null "$GITEA_URL/api/v1/version" || fail "no Gitea answers at GITEA_URL=$GITEA_URL"
}

run() { # FOLDER COMMAND…: quiet, unless it fails
  local folder=$1 output; shift
  output=$(cd "$folder" && "$@" 2>&1) || { printf '%s\n' "$output" >&2; fail "\`$*\` failed in ${folder##*/}"; }
}

# Functions that wait for different things, each a process group of its own, so that whoever ends one ends what it started.
# What each prints is shown when all have ended, that of those that failed last.
side_by_side() { # FUNCTION…
  local part failed=() begin=$SECONDS outputs
  outputs=$(mktemp -d)
  declare -gA parts=()
  trap 'end_parts 130' INT
  trap 'end_parts 143' TERM
  set -m
  for part in "$@"; do
    { "$part"; say "$part: passed in $((SECONDS - begin)) s"; } >"$outputs/$part" 2>&1 </dev/null &
    parts[$part]=$!
  done
  set +m
  for part in "$@"; do
    if wait "${parts[$part]}"; then cat "$outputs/$part"; else failed+=("$part"); fi
    unset "parts[$part]"
  done
  trap - INT TERM
  for part in "${failed[@]}"; do cat "$outputs/$part" >&2; done
  rm -r "$outputs"
  [ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
}

end_parts() { # STATUS
  local process
  trap '' INT TERM
  for process in "${parts[@]}"; do kill -- "-$process" 2>/dev/null || :; done
  wait
  rm -r "$outputs"
  exit "$1"
}
