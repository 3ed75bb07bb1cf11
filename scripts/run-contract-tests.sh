#!/usr/bin/env bash
# Proves what only the real tools can of what we generate: that the API server takes each Promise's CRD, refuses what its
# rules forbid, reads each scalar and judges random specs as goldpath does, takes every golden manifest, and gives a Team's groups exactly their
# rights; that the JSON Schema for editors takes and refuses the same; that Backstage's own validator takes every golden
# entity, and that a Backstage shows what is delivered, changed, deleted; that Terraform and the provider's schema take every
# golden root module, and Gitea too: applied for real, planned empty after, destroyed.
# Needs cargo, curl, git, node, npm, kubectl, terraform, and servers that may be written to; what it makes there it removes:
#   KUBECONFIG             a Kubernetes API server
#   GITEA_URL              a Gitea, with
#   GITEA_TOKEN_FILE         the token of an administrator and
#   GITEA_CA_FILE            the certificate authority that signed it
#   TF_CLI_CONFIG_FILE     Terraform's configuration, in which it finds the provider go-gitea/gitea
#   GITEA_PROVIDER_SCHEMA  what `terraform providers schema -json` prints with that provider
#   BACKSTAGE_URL          a Backstage that was started for this run, with the catalog and nothing else,
#   BACKSTAGE_LOG            the file with all that it prints, and
#   BACKSTAGE_ORGANIZATION   the organisation of that Gitea in which it discovers catalogs; it begins with
#                            goldpath-backstage-, and is made and removed by the tests
# A server that is not there is a failure, never a skip.
# GOLDPATH_TEST_SEED, a number, makes other random specs than those of every run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=contract tests=tests/contract
label=goldpath.dev/contract-test
namespace=goldpath-contract
# shellcheck source=scripts/test-lib.sh
. scripts/test-lib.sh

[ $# -eq 0 ] || usage

remove_from_cluster() { kubectl delete namespaces,customresourcedefinitions,clusterroles,clusterrolebindings -l "$label" --wait --timeout=60s >/dev/null; }

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

need_tools cargo curl git node npm kubectl terraform
need_cluster
need_gitea
need_file GITEA_PROVIDER_SCHEMA "the schema of the provider go-gitea/gitea"
need BACKSTAGE_URL "a Backstage"
need_file BACKSTAGE_LOG "what BACKSTAGE_URL prints"
need BACKSTAGE_ORGANIZATION "where BACKSTAGE_URL discovers catalogs"

promises=(promises/*/)
promises=("${promises[@]%/}")
catalogs=(promises/*/cases/*/expected/catalog)
[ ${#catalogs[@]} -gt 0 ] || fail "there is no golden catalog"
manifests=(promises/*/cases/*/expected/requests/*/*/*/output/{,*/}*.yaml)
[ ${#manifests[@]} -gt 0 ] || fail "there is no golden manifest"
modules=()
for file in promises/*/cases/*/expected/infrastructure/*/*/main.tf; do modules+=("${file%/main.tf}"); done
[ ${#modules[@]} -gt 0 ] || fail "there is no golden root module"
# They are in organisations of others: the integration tests apply one.
repositories=()
for file in promises/*/cases/*/expected/infrastructure/*/*/*/main.tf; do repositories+=("${file%/main.tf}"); done

work=$(mktemp -d)
mkdir "$work/applied"
: >"$work/users"
trap clean_up EXIT
SECONDS=0
run $tests npm ci --no-audit --no-fund --ignore-scripts
run . cargo build --locked --bin goldpath

GITEA_TOKEN=$(<"$GITEA_TOKEN_FILE")
export GITEA_TOKEN GITEA_BASE_URL=$GITEA_URL SSL_CERT_FILE=$GITEA_CA_FILE NODE_EXTRA_CA_CERTS=$GITEA_CA_FILE
export TF_IN_AUTOMATION=true CHECKPOINT_DISABLE=true

backstage() {
  node $tests/schemas.mjs "${promises[@]}"
  node $tests/backstage/validate.mjs "${catalogs[@]}"
  node $tests/backstage/discover.mjs "${CARGO_TARGET_DIR:-target}/debug/goldpath"
}

kubernetes() {
  remove_from_cluster # of a run that was killed
  kubectl create namespace "$namespace" >/dev/null
  kubectl label namespace "$namespace" "$label=true" >/dev/null
  local promise
  for promise in "${promises[@]}"; do
    node $tests/kubernetes/requests.mjs "$promise" "$namespace"
    node $tests/kubernetes/random.mjs "${CARGO_TARGET_DIR:-target}/debug/goldpath" "$promise" "$namespace" ${GOLDPATH_TEST_SEED:+"$GOLDPATH_TEST_SEED"}
  done
  # One reader reads the scalars of all kinds.
  node $tests/kubernetes/scalars.mjs "${CARGO_TARGET_DIR:-target}/debug/goldpath" promises/team "$namespace"
  TMPDIR=$work node $tests/kubernetes/platform.mjs "$namespace" promises/*/
  node $tests/kubernetes/manifests.mjs "${manifests[@]}"
  node $tests/kubernetes/schedules.mjs "$namespace"
  node $tests/kubernetes/groups.mjs "${CARGO_TARGET_DIR:-target}/debug/goldpath"
}

terraform_and_gitea() {
  node $tests/terraform/check-schema.mjs "${modules[@]}" "${repositories[@]}"
  local module copy running=() is_wrong=""
  for module in "${modules[@]}"; do
    copy=$work/$(tr / . <<<"${module#promises/}")
    cp -r "$module" "$copy"
    # They wait for Gitea more than they work.
    test_root_module "$copy" &
    running+=($!)
    if [ ${#running[@]} -ge 3 ]; then
      wait "${running[0]}" || is_wrong=1
      running=("${running[@]:1}")
    fi
  done
  for module in "${running[@]}"; do wait "$module" || is_wrong=1; done
  [ -z "$is_wrong" ]
}

side_by_side backstage kubernetes terraform_and_gitea
say "passed: ${#catalogs[@]} catalogs, ${#manifests[@]} files of manifests, ${#modules[@]} root modules in $SECONDS s"
