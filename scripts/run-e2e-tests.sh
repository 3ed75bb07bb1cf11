#!/usr/bin/env bash
# Proves the whole on real servers: Kratix runs our image in Pods, Gitea and its runners review and apply, and the status
# of each request tells the truth. The platform is made by the scripts of the proof of concept, and goes with the tests.
#
#   run-e2e-tests.sh [--kratix] [--all] [TEST]
#
#   --kratix  demands the real Kratix; without it, Jobs of the shape that Kratix makes take its place where it is not there
#   --all     with what CI has no time for: 50 Teams at once, all of stage 6, and servers that go away or are killed
#   TEST      only tests with this in their name
#
# Needs cargo, curl, git, jq, kubectl, openssl, ssh, terraform, ctr, busybox (Debian's packages openssh-client, containerd,
# busybox-static), a right to start containers, and
#   KUBECONFIG             an API server whose Pods run on this machine, and reach
#   CONTAINERD_ADDRESS     the socket of its containerd
#   GITEA_URL              a Gitea, with
#   GITEA_TOKEN_FILE         the token of an administrator and
#   GITEA_CA_FILE            the certificate authority that signed it
#   RUNNER_PATH              the folder of Gitea's runner, gitea-runner; one with the label `host` serves all repositories
#   TF_CLI_CONFIG_FILE     Terraform's configuration, in which it finds the provider go-gitea/gitea
#   GOLDPATH_BINARIES      a folder with the static `goldpath`, where it is built already (default: it is built)
# and with --all Flux for the cluster of KUBECONFIG, and the command lines that GOLDPATH_STOP_GITEA, GOLDPATH_START_GITEA,
# GOLDPATH_RESTART_NODE and, with the real Kratix, GOLDPATH_RESTART_KRATIX hold. What tells why a test failed is in target/e2e.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=e2e
# shellcheck source=scripts/test-lib.sh
. scripts/test-lib.sh

kratix='' filters=()
for word in "$@"; do
  case $word in
    --kratix) kratix=1 ;;
    --all) export GOLDPATH_TESTS=all ;;
    -*) usage ;;
    *) filters+=("$word") ;;
  esac
done

need_tools cargo curl git jq kubectl openssl ssh terraform ctr busybox
need_cluster
need CONTAINERD_ADDRESS "the socket of the containerd of KUBECONFIG's node"
need_gitea
need RUNNER_PATH "gitea-runner is in it"

GOLDPATH_ARTEFACTS=${CARGO_TARGET_DIR:-$PWD/target}/e2e
rm -rf "$GOLDPATH_ARTEFACTS"
mkdir -p "$GOLDPATH_ARTEFACTS"
export GOLDPATH_ARTEFACTS GOLDPATH_E2E_LOG=$GOLDPATH_ARTEFACTS/kratix-stand-in.log

# Kratix answers where its manager looks at what it is given.
is_kratix() {
  kubectl get crd promiserevisions.platform.kratix.io >/dev/null 2>&1 &&
    scripts/02-install-kratix.sh --existing --only kratix --log-folder "$GOLDPATH_ARTEFACTS/setup" >/dev/null 2>&1
}
if is_kratix; then
  export GOLDPATH_KRATIX=real
  say "the real Kratix runs the Promises"
else
  [ -z "$kratix" ] || fail "no Kratix answers in this cluster"
  export GOLDPATH_KRATIX=stand-in
  say "Kratix is not there: Jobs of its shape run the Promises"
fi

if [ -z "${GOLDPATH_BINARIES:-}" ]; then
  GOLDPATH_BINARIES=$(scripts/build-static.sh)
  export GOLDPATH_BINARIES
fi
SECONDS=0
arguments=()
[ "${GOLDPATH_TESTS:-}" != all ] || arguments+=(--include-ignored)
cargo test --locked --test e2e -- "${arguments[@]}" "${filters[@]}" || fail "what tells why is in $GOLDPATH_ARTEFACTS"
say "passed in $SECONDS s"
