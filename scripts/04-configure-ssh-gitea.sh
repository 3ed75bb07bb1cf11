#!/usr/bin/env bash
# Stage 4 of the proof of concept: the repository that Kratix writes to, a key for it, Kratix's GitStateStore and
# Destinations. It ends when a commit has arrived, from here with the key and from Kratix. Run it again at any time.
#
#   04-configure-ssh-gitea.sh [--repository OWNER/NAME] [--store NAME] [--destinations NAME,…] [--url URL]
#                             [--known-hosts FILE] [--rotate] [--dry-run] [--log-folder FOLDER]
#
#   --repository    what Kratix writes to, private (default: platform/state)
#   --store         the GitStateStore (default: default)
#   --destinations  each with the label `environment` of its name, and a folder of its name in the repository (default:
#                   platform,dev,production)
#   --url           its address by SSH as Kratix reaches it (default: the one that Gitea says)
#   --known-hosts   SSH's known hosts with Gitea's keys, as you have them from Gitea's administrator; without it they are
#                   those that the server shows now, and are kept
#   --rotate        makes the key anew, and removes the old one
#   --dry-run       prints every command and manifest, and changes nothing
#   --log-folder    where the log goes (default: .goldpath/log)
#
# Where Flux is in the cluster, it applies what is written for the Destination `platform`, which is this cluster.
# From the environment, or .goldpath/poc/gitea.env of stage 3: GITEA_URL, GITEA_ADMIN_TOKEN_FILE (scope write:repository,
# write:organization), GITEA_CA_FILE. The key is kept in .goldpath/poc/ssh (mode 0600) and in Secrets.
# Needs kubectl, curl, jq, openssl, git, ssh. The part for Flux was never run where this was written.
set -euo pipefail
stage=04-configure-ssh-gitea
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

repository=platform/state store=default destinations=platform,dev,production url='' known_hosts='' rotate=''
read_options 'rotate' 'repository store destinations url known-hosts' "$@"
name='[A-Za-z0-9][A-Za-z0-9._-]*' label='[a-z0-9]([a-z0-9-]*[a-z0-9])?'
[[ $repository =~ ^$name/$name$ ]] || fail "--repository must be OWNER/NAME" "as in --repository platform/state"
[[ $store =~ ^$label$ ]] || fail "--store must be a name" "as in --store default"
[[ $destinations =~ ^$label(,$label)*$ ]] || fail "--destinations must be names with commas between them" "as in --destinations platform,dev"
[ -z "$known_hosts" ] || [ -r "$known_hosts" ] || fail "\`$known_hosts\` cannot be read"
start
need git ssh ssh-keygen ssh-keyscan
need_cluster
need_gitea
folder=$poc/ssh/${repository//\//_}

# The repository, and a key that can write it and nothing else ------------------------------------------------------------

read_or_null "/orgs/${repository%/*}"
[ "$answer" != null ] || change "private organisation ${repository%/*}" POST /orgs "$(jq -cn --arg name "${repository%/*}" '{username: $name, visibility: "private"}')"
read_or_null "/repos/$repository"
if [ "$answer" = null ]; then
  change "repository $repository" POST "/orgs/${repository%/*}/repos" "$(jq -cn --arg name "${repository#*/}" \
    '{name: $name, private: true, auto_init: true, default_branch: "main", description: "What Kratix writes for its Destinations"}')"
  [ -n "$dry" ] || read_or_null "/repos/$repository"
fi
if [ -n "$dry" ] && [ "$answer" = null ]; then answer='{"default_branch": "main", "ssh_url": "ssh://git@gitea.example.com:22/'$repository'.git"}'; fi
[ "$(jq -r .default_branch <<<"$answer")" = main ] || fail "the default branch of $repository is not \`main\`" "rename it, or name another --repository"
outside=$(jq -r .ssh_url <<<"$answer") # as this machine reaches it
# git@host:owner/name is the same as ssh://git@host/owner/name.
[[ $outside == ssh://* ]] || outside=ssh://${outside/://}
url=${url:-$outside}
[[ $url =~ ^ssh://[^@/]+@[^/]+/.+ ]] || fail "--url must begin with ssh://, and name a user" "as in ssh://git@gitea.example.com:22/$repository.git"
[[ $outside =~ ^ssh://[^@/]+@([^:/]+)(:([0-9]+))?/ ]] || fail "Gitea says that $repository is at $outside" "is SSH on in Gitea?"
host=${BASH_REMATCH[1]} port=${BASH_REMATCH[3]:-22}
[[ $url =~ ^ssh://[^@/]+@([^:/]+)(:([0-9]+))?/ ]]
inside_host=${BASH_REMATCH[1]} inside_port=${BASH_REMATCH[3]:-22}

if [ -n "$dry" ]; then
  printf 'ssh-keygen -t ed25519 -N "" -f %q\n# a deploy key of %s, which may write; %s:%s is asked for its host keys\n' "$folder/key" "$repository" "$host" "$port"
else
  mkdir -p "$folder"
  old=''
  if [ -n "$rotate" ] && [ -s "$folder/key.pub" ]; then old=$(cut -d' ' -f2 "$folder/key.pub"); rm -f "$folder/key" "$folder/key.pub"; fi
  [ -s "$folder/key" ] || { ssh-keygen -q -t ed25519 -N '' -C "kratix, $repository" -f "$folder/key" && say "made: the key $folder/key"; }
  gitea GET "/repos/$repository/keys?limit=50"
  [ "$status" = 200 ] || refused GET "/repos/$repository/keys"
  keys=$answer
  if ! jq -e --arg key "$(cut -d' ' -f2 "$folder/key.pub")" 'any(.[]; (.key | split(" ")[1] == $key) and (.read_only | not))' <<<"$keys" >/dev/null; then
    change "deploy key of $repository" POST "/repos/$repository/keys" "$(jq -cn --rawfile key "$folder/key.pub" --arg id "$(openssl rand -hex 4)" \
      '{title: "kratix \($id)", key: $key, read_only: false}')"
  fi
  if [ -n "$old" ]; then
    id=$(jq -r --arg key "$old" '[.[] | select(.key | split(" ")[1] == $key) | .id][0] // empty' <<<"$keys")
    [ -z "$id" ] || change "the old deploy key is no more" DELETE "/repos/$repository/keys/$id"
  fi

  # The keys of the server, under the names that this machine and Kratix know it by.
  if [ -n "$known_hosts" ]; then
    cp "$known_hosts" "$folder/known_hosts"
  elif [ ! -s "$folder/known_hosts" ]; then
    ssh-keyscan -T 10 -p "$port" "$host" 2>>"$log" | grep -v '^#' >"$work/scanned" || fail "no SSH server answers at $host:$port" "is SSH on in Gitea, and its port open?"
    cut -d' ' -f2- "$work/scanned" | sort -u | while read -r key; do
      for known in "$host $port" "$inside_host $inside_port"; do
        read -r known_host known_port <<<"$known"
        [ "$known_port" = 22 ] || known_host="[$known_host]:$known_port"
        printf '%s %s\n' "$known_host" "$key"
      done
    done | sort -u >"$folder/known_hosts"
    say "note: trusted $host:$port as it is now: $(ssh-keygen -lf "$work/scanned" | cut -d' ' -f2 | sort -u | paste -sd ' '); compare it, or give --known-hosts"
  fi
fi

# A commit with the key -----------------------------------------------------------------------------------------------------

if [ -z "$dry" ]; then
  branch=goldpath-check-$(openssl rand -hex 4)
  export GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
  printf -v GIT_SSH_COMMAND 'ssh -F /dev/null -i %q -o UserKnownHostsFile=%q -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes -o ConnectTimeout=10' \
    "$folder/key" "$folder/known_hosts"
  export GIT_SSH_COMMAND
  run git clone --quiet --depth 1 --branch main "$outside" "$work/state"
  run git -C "$work/state" -c user.name=goldpath-check -c user.email=goldpath-check@goldpath.invalid commit --quiet --allow-empty --message "Does a commit arrive?"
  run git -C "$work/state" push --quiet origin "HEAD:refs/heads/$branch"
  gitea GET "/repos/$repository/branches/$branch"
  [ "$(jq -r .commit.id <<<"$answer")" = "$(git -C "$work/state" rev-parse HEAD)" ] || fail "the pushed commit is not in $repository" "all that git said is in $log"
  run git -C "$work/state" push --quiet origin ":refs/heads/$branch"
  say "a commit with the key arrives in $repository"
fi

# Kratix --------------------------------------------------------------------------------------------------------------------

# Somebody's store or Destination is not taken over.
ours() { # KIND NAME PATH-OF-VALUE EXPECTED OPTION
  local found
  [ -z "$dry" ] || return 0
  found=$(kubectl get "$1" "$2" --ignore-not-found --output jsonpath="{$3}" 2>>"$log") || fail "the API server knows no $1" "stage 2 installs Kratix"
  [ -z "$found" ] || [ "$found" = "$4" ] || fail "there is a $1 $2 already, for $found, not for $4" "name another one with $5"
}
ours gitstatestore "$store" .spec.url "$url" --store
for destination in ${destinations//,/ }; do ours destination "$destination" .spec.stateStoreRef.name "$store" --destinations; done

apply_secret default "$store-ssh" "sshPrivateKey=$folder/key" "knownHosts=$folder/known_hosts"
{
  cat <<YAML
apiVersion: platform.kratix.io/v1alpha1
kind: GitStateStore
metadata: {name: $store, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec:
  url: "$url"
  branch: main
  authMethod: ssh
  secretRef: {name: $store-ssh, namespace: default}
  gitAuthor: {name: Kratix, email: kratix@goldpath.invalid}
YAML
  for destination in ${destinations//,/ }; do
    cat <<YAML
---
apiVersion: platform.kratix.io/v1alpha1
kind: Destination
metadata: {name: $destination, labels: {app.kubernetes.io/part-of: goldpath-poc, environment: $destination}}
spec:
  path: $destination
  stateStoreRef: {name: $store, kind: GitStateStore}
  filepath: {mode: nestedByMetadata}
  cleanup: all
YAML
  done
} >"$work/kratix.yaml"
apply <"$work/kratix.yaml"

flux=''
if [ -n "$dry" ] || kubectl get deployment source-controller kustomize-controller --namespace flux-system >>"$log" 2>&1; then
  flux=1
  apply_secret flux-system "$store-ssh" "identity=$folder/key" "identity.pub=$folder/key.pub" "known_hosts=$folder/known_hosts"
  apply <<YAML
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: $store, namespace: flux-system, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec:
  interval: 10s
  url: "$url"
  ref: {branch: main}
  secretRef: {name: $store-ssh}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: $store-platform, namespace: flux-system, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec:
  interval: 30s
  retryInterval: 10s
  path: ./platform
  prune: true
  sourceRef: {kind: GitRepository, name: $store}
YAML
fi

# Is it so? -----------------------------------------------------------------------------------------------------------------

# Kratix writes a first file for each Destination.
has_arrived() { # DESTINATION
  gitea GET "/repos/$repository/contents/$1?ref=main"
  [ "$status" = 200 ]
}
of_kratix() { kubectl get "$1" "$2" --output jsonpath='{range .status.conditions[?(@.status!="True")]}{.type}: {.message}; {end}' 2>>"$log"; }
ready() { kubectl wait --for=condition=Ready "$@" --timeout=1s; }

wait_for 90 "the GitStateStore $store to be Ready" "kubectl describe gitstatestore $store" ready "gitstatestore/$store"
for destination in ${destinations//,/ }; do
  wait_for 120 "Kratix's first commit for the Destination $destination" "kubectl describe destination $destination $(of_kratix destination "$destination")" has_arrived "$destination"
  wait_for 60 "the Destination $destination to be Ready" "kubectl describe destination $destination" ready "destination/$destination"
  [ -n "$dry" ] || say "Kratix commits for the Destination $destination"
done
if [ -n "$flux" ] && [[ ,$destinations, == *,platform,* ]]; then
  wait_for 180 "Flux to apply the Destination platform" "kubectl describe kustomizations.kustomize.toolkit.fluxcd.io -n flux-system $store-platform" \
    ready --namespace flux-system "kustomizations.kustomize.toolkit.fluxcd.io/$store-platform"
  [ -n "$dry" ] || say "Flux applies the Destination platform"
fi
