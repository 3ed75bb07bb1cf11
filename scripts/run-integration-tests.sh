#!/usr/bin/env bash
# Proves on real servers what we do with them: that `commit` delivers to Gitea, whatever fails; and review: what was shown
# and approved is applied, through the workflows and by hand, and nothing else is.
#
#   run-integration-tests.sh [--all]
#
#   --all  with all faults, and all of the load: half an hour more than the part of them that CI has time for
#
# Needs cargo, curl, git, jq, openssl, terraform, PostgreSQL's programs with their user `postgres` (Debian's package
# postgresql), and a server that may be written to; what it makes there it removes:
#   GITEA_URL              a Gitea, with
#   GITEA_TOKEN_FILE         the token of an administrator and
#   GITEA_CA_FILE            the certificate authority that signed it
#   RUNNER_PATH              the folder of Gitea's runner, gitea-runner; one with the label `host` serves all repositories
#   TF_CLI_CONFIG_FILE     Terraform's configuration, in which it finds the provider go-gitea/gitea
# A server that is not there is a failure, never a skip.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=integration
# shellcheck source=scripts/test-lib.sh
. scripts/test-lib.sh

case "$*" in
  '') ;;
  --all) export GOLDPATH_TESTS=all ;;
  *) usage ;;
esac

need_tools cargo curl git jq openssl terraform
[ -d /usr/lib/postgresql ] || fail "PostgreSQL is not there: it is in the Debian package postgresql"
need_gitea
need RUNNER_PATH "gitea-runner is in it"
unset SSL_CERT_FILE # the tests say whom to trust

SECONDS=0
run . cargo test --locked --no-run

rust_tests() { # MODULE ARGUMENT…
  local begin=$SECONDS module=$1; shift
  run . cargo test --locked --test it -- --ignored "$module::" "$@"
  say "$module: passed in $((SECONDS - begin)) s"
}

# Together they take the machine's time, of which each alone leaves much: they wait for servers, and for what they break.
trust_and_faults() {
  rust_tests trust
  rust_tests faults
}
requests() {
  rust_tests gitea
  rust_tests secrets
  rust_tests remote
  rust_tests terraform
  rust_tests load --test-threads 1
}
reviews() {
  rust_tests review
  rust_tests workflows
  rust_tests setup
}

side_by_side trust_and_faults requests reviews
say "passed in $SECONDS s"
