#!/usr/bin/env bash
# Proves what only the real tools can: that the API server takes each Promise's CRD, refuses what its rules forbid, and
# takes every golden manifest; that Backstage's own validator takes every golden entity, and that a Backstage shows what
# is delivered, changed, deleted; that Terraform and the provider's schema take every golden root module, and Gitea too:
# applied for real, planned empty after, destroyed; that `commit` delivers to Gitea, whatever fails; and review: what was
# shown and approved is applied, through the workflows and by hand, and nothing else is.
# Needs cargo, curl, git, jq, node, npm, openssl, kubectl, terraform, and PostgreSQL's programs with their user `postgres`
# (Debian's package postgresql), and servers that may be written to; what it makes there it removes:
#   KUBECONFIG             a Kubernetes API server
#   GITEA_URL              a Gitea, with
#   GITEA_TOKEN_FILE         the token of an administrator and
#   GITEA_CA_FILE            the certificate authority that signed it
#   RUNNER_PATH              the folder of Gitea's runner, gitea-runner; one with the label `host` serves all repositories
#   TF_CLI_CONFIG_FILE     Terraform's configuration, in which it finds the provider go-gitea/gitea
#   GITEA_PROVIDER_SCHEMA  what `terraform providers schema -json` prints with that provider
#   BACKSTAGE_URL          a Backstage that was started for this run, with the catalog and nothing else,
#   BACKSTAGE_LOG            the file with all that it prints, and
#   BACKSTAGE_ORGANIZATION   the organisation of that Gitea in which it discovers catalogs; it begins with
#                            goldpath-backstage-, and is made and removed by the tests
# A server that is not there is a failure, never a skip. The tests of faults and of load do a part of their work, which CI
# has time for; with --all they do all of it, which takes half an hour more.
set -euo pipefail
shopt -s nullglob

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tests=tests/contract
label=goldpath.dev/contract-test
namespace=goldpath-contract

case ${1:-} in
  '') ;;
  --all) export GOLDPATH_TESTS=all ;;
  *) sed -n '2,/^set -/{/^set -/d; s/^# \{0,1\}//; p}' "$0" >&2; exit 2 ;;
esac

say() { printf '%s\n' "contract: $*"; }
fail() { printf '%s\n' "contract: $*" >&2; exit 1; }

need() { # VARIABLE WHAT
  [ -n "${!1:-}" ] || fail "$1 is not set: $2 (see the head of this script)"
}

need_file() { # VARIABLE WHAT
  need "$1" "$2"
  [ -r "${!1}" ] || fail "$1 names ${!1}, which cannot be read: $2"
}

run() { # FOLDER COMMAND…: quiet, unless it fails
  local folder=$1; shift
  (cd "$folder" && "$@") >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "\`$*\` failed in ${folder##*/}"; }
}

remove_from_cluster() { kubectl delete namespaces,customresourcedefinitions,clusterroles -l "$label" --wait --timeout=60s >/dev/null; }

clean_up() {
  local module users
  for module in "$work"/applied/*/; do
    (cd "$module" && terraform destroy -auto-approve -input=false -no-color >/dev/null) || say "left behind: what $module made"
  done
  mapfile -t users <"$work/users"
  if [ ${#users[@]} -gt 0 ]; then node $tests/terraform/users.mjs delete "${users[@]}" || say "left behind: ${users[*]}"; fi
  remove_from_cluster || say "left behind: what carries the label $label"
  rm -rf "$work"
}

test_root_module() { # FOLDER: a copy, which it uses up
  local module=$1
  run "$module" terraform fmt -check -diff -no-color
  run "$module" terraform init -backend=false -input=false -no-color
  run "$module" terraform validate -no-color

  printf 'terraform {\n  backend "local" {}\n}\n' >"$module/backend_override.tf"
  run "$module" terraform init -reconfigure -input=false -no-color
  run "$module" terraform plan -input=false -no-color -out plan
  (cd "$module" && terraform show -json plan) | node $tests/terraform/users.mjs create >>"$work/users"
  local applied=$work/applied/${module##*/}
  mv "$module" "$applied" # where clean_up destroys it
  run "$applied" terraform apply -input=false -no-color plan
  run "$applied" terraform plan -input=false -no-color -detailed-exitcode
  (cd "$applied" && terraform output -json) |
    node $tests/terraform/check-outputs.mjs organization_name organization_id organization_url
  run "$applied" terraform destroy -auto-approve -input=false -no-color
  rm -r "$applied"
}

for tool in cargo curl git jq node npm openssl kubectl terraform; do command -v $tool >/dev/null || fail "$tool is not on the PATH"; done
[ -d /usr/lib/postgresql ] || fail "PostgreSQL is not there: it is in the Debian package postgresql"
need KUBECONFIG "a Kubernetes API server"
need GITEA_URL "a Gitea"
need_file GITEA_TOKEN_FILE "the token of an administrator of GITEA_URL"
need_file GITEA_CA_FILE "the certificate authority of GITEA_URL"
need RUNNER_PATH "gitea-runner is in it"
need_file TF_CLI_CONFIG_FILE "Terraform finds the provider go-gitea/gitea with it"
need_file GITEA_PROVIDER_SCHEMA "the schema of the provider go-gitea/gitea"
need BACKSTAGE_URL "a Backstage"
need_file BACKSTAGE_LOG "what BACKSTAGE_URL prints"
need BACKSTAGE_ORGANIZATION "where BACKSTAGE_URL discovers catalogs"
kubectl get --raw /readyz >/dev/null 2>&1 || fail "no Kubernetes API server answers with KUBECONFIG=$KUBECONFIG"

GITEA_TOKEN=$(<"$GITEA_TOKEN_FILE")
export GITEA_TOKEN GITEA_BASE_URL=$GITEA_URL SSL_CERT_FILE=$GITEA_CA_FILE NODE_EXTRA_CA_CERTS=$GITEA_CA_FILE
export TF_IN_AUTOMATION=true CHECKPOINT_DISABLE=true
node -e 'fetch(process.env.GITEA_URL + "/api/v1/version").then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))' ||
  fail "no Gitea answers at GITEA_URL=$GITEA_URL"

work=$(mktemp -d)
mkdir "$work/applied"
: >"$work/users"
trap clean_up EXIT
SECONDS=0

run $tests npm ci --no-audit --no-fund --ignore-scripts

say "Backstage"
catalogs=(promises/*/cases/*/expected/catalog)
[ ${#catalogs[@]} -gt 0 ] || fail "there is no golden catalog"
node $tests/backstage/validate.mjs "${catalogs[@]}"
run . env -u SSL_CERT_FILE cargo build --locked --bin goldpath
node $tests/backstage/discover.mjs "${CARGO_TARGET_DIR:-target}/debug/goldpath"

say "Kubernetes"
remove_from_cluster # of a run that was killed
kubectl create namespace "$namespace" >/dev/null
kubectl label namespace "$namespace" "$label=true" >/dev/null
for promise in promises/*/; do node $tests/kubernetes/requests.mjs "${promise%/}" "$namespace"; done
TMPDIR=$work node $tests/kubernetes/platform.mjs "$namespace" promises/*/
manifests=(promises/*/cases/*/expected/requests/*/*/*/output/*.yaml)
[ ${#manifests[@]} -gt 0 ] || fail "there is no golden manifest"
node $tests/kubernetes/manifests.mjs "${manifests[@]}"

say "Terraform and Gitea"
modules=()
for file in promises/*/cases/*/expected/infrastructure/*/*/main.tf; do modules+=("${file%/main.tf}"); done
[ ${#modules[@]} -gt 0 ] || fail "there is no golden root module"
node $tests/terraform/check-schema.mjs "${modules[@]}"
for module in "${modules[@]}"; do
  copy=$work/$(tr / . <<<"${module#promises/}")
  cp -r "$module" "$copy"
  test_root_module "$copy"
done

say "Delivery"
run . env -u SSL_CERT_FILE cargo test --locked --test remote --test gitea --test faults --test secrets -- --ignored
run . env -u SSL_CERT_FILE cargo test --locked --test load -- --ignored --test-threads 1
say "Review"
run . env -u SSL_CERT_FILE cargo test --locked --test terraform --test review --test trust --test workflows -- --ignored
say "passed: ${#catalogs[@]} catalogs, ${#manifests[@]} files of manifests, ${#modules[@]} root modules in $SECONDS s"
