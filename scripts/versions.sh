#!/usr/bin/env bash
# Every version that the proof of concept is made of: the stages read it from here, and from nowhere else.
#
#   versions.sh          prints them
#   versions.sh --pin    writes the digests that are missing here, as the registries and servers have them now
#
# What has no digest yet could not be fetched where this was written: the stages use the tag, and say so. The digests that
# are here come from other projects' public files, and were never compared with a registry. Go modules are pinned by
# their own sums, actions and images of pipelines/ in pipelines/*Dockerfile (`build-images.sh --pin`).
# shellcheck disable=SC2034 # used by the stages
set -euo pipefail

KIND_VERSION=v0.33.0
KIND_NODE_IMAGE=kindest/node:v1.34.11 # of that kind's release notes; the version of Kubernetes
KIND_NODE_DIGEST=sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d

# Kratix has had no numbered release since July 2024, and one tag, which moves: the commit and the digest pin it.
KRATIX_REPOSITORY=https://github.com/syntasso/kratix
KRATIX_COMMIT=ae170e22e974e45bb7cfda00986057e01b3ccfde
KRATIX_IMAGE=syntasso/kratix-platform:latest
KRATIX_DIGEST=

CERT_MANAGER_URL=https://github.com/cert-manager/cert-manager/releases/download/v1.20.3/cert-manager.yaml
CERT_MANAGER_DIGEST=

FLUX_URL=https://github.com/fluxcd/flux2/releases/download/v2.8.8/install.yaml
FLUX_DIGEST=sha256:cc23846dc86bec37c060d860c1188447e896a93fa1d9e1e3aca4e25726c1ae61

TRAEFIK_CHART=https://traefik.github.io/charts
TRAEFIK_CHART_VERSION=41.1.1

# The chart brings 1.27.0; the image is this one.
GITEA_CHART=https://dl.gitea.com/charts
GITEA_CHART_VERSION=12.7.0
GITEA_IMAGE=gitea/gitea:1.27.3-rootless
GITEA_DIGEST=sha256:1c17ecaead42eb3b5391553d8708103a4beb0e86edf5b9ebc1eb269c318845f2
GITEA_MINIMUM=1.26.2

POSTGRES_IMAGE=postgres:17.11-alpine
POSTGRES_DIGEST=sha256:b0f9560a2de083e2cc7382e75f808c7381a32852a7ec49117deedb300e552b24

# The runner's image is pipelines/runner.Dockerfile, which has these versions too.
RUNNER_VERSION=1.0.8
TERRAFORM_VERSION=1.11.4

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

self=$0
names() { sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$self"; }

digest_of_image() { # NAME:TAG
  local raw
  if command -v crane >/dev/null; then crane digest "$1"
  elif command -v skopeo >/dev/null; then raw=$(skopeo inspect --raw "docker://$1" | sha256sum) && printf 'sha256:%s\n' "${raw%% *}"
  elif command -v docker >/dev/null; then docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
  else echo "versions: none of crane, skopeo and docker is on the PATH" >&2; return 1
  fi
}

digest_of_file() { # URL
  local file
  file=$(mktemp)
  curl --silent --show-error --fail --location --max-time 60 --output "$file" "$1" && printf 'sha256:%s\n' "$(sha256sum <"$file" | cut -d' ' -f1)"
  rm -f "$file"
}

pin() {
  local name of digest
  for name in $(names | grep '_DIGEST$'); do
    [ -z "${!name}" ] || continue
    of=${name%_DIGEST}_IMAGE
    if [ -n "${!of:-}" ]; then digest=$(digest_of_image "${!of}") || digest=''
    else of=${name%_DIGEST}_URL; digest=$(digest_of_file "${!of}") || digest=''
    fi
    if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
      echo "versions: the digest of ${!of} is not known" >&2
      echo "versions: hint: does its server answer here? Log in where a registry asks for that" >&2
      exit 1
    fi
    sed -i "s|^$name=\$|$name=$digest|" "$self"
    echo "versions: ${!of}@$digest" >&2
  done
}

case ${1:-} in
  '') for name in $(names); do printf '%s=%s\n' "$name" "${!name}"; done ;;
  --pin) pin ;;
  --help | -h) sed -n '2,/^set /{/^set /d; /^# shellcheck/d; s/^# \{0,1\}//; p}' "$0" ;;
  *) echo "versions: unknown option \`$1\`: see --help" >&2; exit 1 ;;
esac
