#!/usr/bin/env bash
# Measures the step `deliver` of an Environment that many Applications name: objects in a real API server, without Kratix.
# It lists all of them, and renders each with what is true now. The goal for 2,000 is under 5 s and 64 MiB.
#   scripts/measure-rollout.sh [COUNT] [RUNS]
# Needs KUBECONFIG of an API server that has nothing of Goldpath's (it ends where there is something), and root, to give the step the account that a Pod has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-2000} runs=${2:-5}
binaries=$(scripts/build-static.sh)
work=$(mktemp -d)
ln -s "$binaries/goldpath" "$work/deliver"
clear() {
  kubectl delete --ignore-not-found --wait=false crd {teams,environments,applications}.platform.kratix.io
  kubectl delete --ignore-not-found namespace goldpath-system platform people
  kubectl delete --ignore-not-found clusterrolebinding goldpath-measure
} >/dev/null
if kubectl get namespace -o name | grep -qE '/(goldpath-system|platform|people)$' || kubectl get crd -o name | grep -qE '/(teams|environments|applications)\.platform'; then
  echo "there is something of Goldpath's in this cluster: this would remove it" >&2
  exit 1
fi
trap 'clear; rm -rf "$work"' EXIT

# A request's status comes with it here: nobody else writes it.
for promise in team environment application; do
  sed '1,/^  api:/d; s/^    //; /^ *subresources:/,/^ *status: {}/d' "promises/$promise/promise.yaml"
  echo ---
done | kubectl apply --server-side -f - >/dev/null
kubectl wait --for condition=Established --timeout 60s crd {teams,environments,applications}.platform.kratix.io >/dev/null
for name in goldpath-system platform people; do kubectl create namespace "$name" >/dev/null; done
git init --quiet --bare --initial-branch main "$work/catalog.git"
kubectl create configmap goldpath --namespace goldpath-system \
  --from-literal=config.yaml="repositories: {catalog: {url: $work/catalog.git}, infrastructure: {url: $work/catalog.git}}" >/dev/null
kubectl create serviceaccount measure --namespace platform >/dev/null
kubectl create clusterrolebinding goldpath-measure --clusterrole cluster-admin --serviceaccount platform:measure >/dev/null

# The examples as they are after their delivery, the Application many times.
for kind in team environment application; do
  sed '/^#/d; /^  namespace:/d; s/^  name: \(example-team\|my-api\)$/&\n  namespace: people/; s/^  name: dev$/&\n  namespace: platform/' \
    "promises/$kind/resource-request.yaml" >"$work/$kind.yaml"
done
"$binaries/goldpath" run --quiet --workspace "$work/workspace" "$work"/{team,environment,application}.yaml
object() { # KIND
  cat "$work/$1.yaml"
  echo status:
  # And as it is when Kratix has run its Pipelines.
  sed 's/^conditions:$/&\n- {type: ConfigureWorkflowCompleted, status: "True", reason: PipelinesExecutedSuccessfully, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}/' \
    "$work/workspace/requests/$1"/*/*/metadata/status.yaml | sed 's/^/  /'
}
{
  object team
  echo ---
  object environment
  application=$(object application)
  for number in $(seq "$count"); do printf -- '---\n%s\n' "${application/name: my-api/name: a$number}"; done
} | kubectl create -f - >/dev/null

# The Environment has changed: each Application would come out otherwise, and the first of them is to run.
mkdir -p "$work"/kratix/{input,output,metadata} "$work/account"
object environment | sed 's/^spec:$/&\n  podSecurity: baseline/' >"$work/kratix/input/object.yaml"
kubectl create token measure --namespace platform >"$work/account/token"
kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$work/account/ca.crt"
printf platform >"$work/account/namespace"
server=$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')
address=${server#https://}
once() {
  # As if nobody had been asked.
  kubectl label application a1 --namespace people kratix.io/manual-reconciliation- >/dev/null
  kubectl annotate application a1 --namespace people goldpath.dev/asked- >/dev/null
  # shellcheck disable=SC2016 # another shell's
  env KRATIX_INPUT="$work/kratix/input" KRATIX_OUTPUT="$work/kratix/output" KRATIX_METADATA="$work/kratix/metadata" \
    KUBERNETES_SERVICE_HOST="${address%:*}" KUBERNETES_SERVICE_PORT="${address##*:}" \
    unshare --mount bash -euc 'mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
      mount --bind "$1" /var/run/secrets/kubernetes.io/serviceaccount
      exec env time --format "%e %M" --output "$2" "$3"' _ "$work/account" "$work/measured" "$work/deliver" >"$work/said"
  grep -q "asked 1 request to run" "$work/said" || { cat "$work/said" >&2; exit 1; }
}
mapfile -t sorted < <(for _ in $(seq "$runs"); do once; cat "$work/measured"; done | sort -n)
echo "| Applications | \`deliver\`, median of $runs | peak memory |"
echo "|---:|---:|---:|"
LC_ALL=C awk -v count="$count" -v measured="${sorted[runs / 2]}" \
  'BEGIN { split(measured, m, " "); printf "| %d | %.2f s | %.0f MiB |\n", count, m[1], m[2] / 1024 }'
