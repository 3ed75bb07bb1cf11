#!/usr/bin/env bash
# Stage 1 of the proof of concept: a Kubernetes cluster of kind, with an ingress controller; or a look at one that is
# there. Run it again at any time.
#
#   01-setup-cluster.sh [--name NAME] [--http PORT] [--https PORT] [--ssh PORT] [--dry-run] [--log-folder FOLDER]
#   01-setup-cluster.sh --existing [--dry-run] [--log-folder FOLDER]
#
#   --name        of the kind cluster (default: goldpath-poc); its kubeconfig is .goldpath/poc/kubeconfig
#   --http, --https, --ssh  the ports of this machine (defaults: 8080, 8443, 30222), on 127.0.0.1
#   --existing    makes nothing: the cluster of the current kubeconfig must be fit for the next stages
#   --dry-run     prints every command and manifest, and runs none
#   --log-folder  where the log goes (default: .goldpath/log)
#
# Needs kubectl; without --existing also kind, helm, curl, and docker or podman. Making a cluster needs a registry: that
# part was never run where this was written, only printed.
set -euo pipefail
stage=01-setup-cluster
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

name=goldpath-poc http=8080 https=8443 ssh=30222 existing=''
read_options 'existing' 'name http https ssh' "$@"
for option in http https ssh; do
  [[ ${!option} =~ ^[1-9][0-9]{0,4}$ ]] || fail "--$option must be a port" "as in --$option 8080"
done
start

make_cluster() {
  need kind helm curl
  [ -n "$dry" ] || command -v docker >/dev/null || command -v podman >/dev/null || fail "neither docker nor podman is on the PATH" "kind runs its nodes in one of them"
  local version
  version=$(kind version 2>/dev/null | cut -d' ' -f2) || version=''
  [ -z "$version" ] || [ "$version" = "$KIND_VERSION" ] || say "note: kind is $version, and the node's image is for $KIND_VERSION"
  export KUBECONFIG=$poc/kubeconfig
  cat >"$work/kind.yaml" <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    image: $(pinned "$KIND_NODE_IMAGE" "$KIND_NODE_DIGEST")
    labels: {ingress-ready: "true"}
    extraPortMappings:
      - {containerPort: 80, hostPort: $http, listenAddress: 127.0.0.1}
      - {containerPort: 443, hostPort: $https, listenAddress: 127.0.0.1}
      - {containerPort: 30222, hostPort: $ssh, listenAddress: 127.0.0.1}
YAML
  if [ -z "$dry" ] && kind get clusters 2>>"$log" | grep -qxF "$name"; then
    say "the kind cluster $name is there"
    run kind export kubeconfig --name "$name" --kubeconfig "$KUBECONFIG"
  else
    show "$work/kind.yaml"
    run kind create cluster --name "$name" --kubeconfig "$KUBECONFIG" --config "$work/kind.yaml" --wait 3m
    [ -n "$dry" ] || say "made: the kind cluster $name"
  fi
  [ -n "$dry" ] || printf 'CLUSTER=%q\nHTTPS_PORT=%q\nSSH_PORT=%q\n' "$name" "$https" "$ssh" >"$poc/cluster.env"

  cat >"$work/traefik.yaml" <<'YAML'
service: {type: ClusterIP}
nodeSelector: {ingress-ready: "true"}
tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
updateStrategy: {type: Recreate, rollingUpdate: null} # two would want the same ports
ports:
  web: {hostPort: 80}
  websecure: {hostPort: 443}
YAML
  show "$work/traefik.yaml"
  run helm upgrade --install traefik traefik --repo "$TRAEFIK_CHART" --version "$TRAEFIK_CHART_VERSION" \
    --namespace traefik --create-namespace --values "$work/traefik.yaml" --wait --timeout 5m
  wait_for 60 "the ingress controller on port $https" "is the port taken by another program? --https names another one" \
    curl --silent --insecure --output /dev/null --max-time 5 "https://127.0.0.1:$https/"
}

# What the next stages ask of a cluster.
verify() {
  [ -z "$dry" ] || return 0
  local version
  need jq
  version=$(kubectl version --output json 2>>"$log" | jq -r '.serverVersion | .major + "." + (.minor | gsub("[^0-9]"; ""))')
  [[ $version =~ ^1\.(3[3-9]|[4-9][0-9]|[1-9][0-9]{2,})$ ]] || fail "the cluster is Kubernetes $version" "1.33 or later is needed"
  [ "$(kubectl auth can-i '*' '*' --all-namespaces 2>>"$log")" = yes ] || fail "the current kubeconfig's user is no administrator of the cluster" "the stages make CRDs, roles and namespaces"
  wait_for 120 "a node that is ready" "kubectl describe nodes" kubectl wait --for=condition=Ready nodes --all --timeout=1s
  wait_for 30 "the default service account" "does the controller manager run?" kubectl get serviceaccount default --namespace default
  [ -n "$(kubectl get storageclass --output name 2>>"$log")" ] || say "note: no StorageClass: Gitea must be one that is there (03-setup-gitea.sh --existing)"
  say "Kubernetes $version, nodes ready: $(kubectl get nodes --output name | wc -l)"
}

need kubectl
if [ -z "$existing" ]; then make_cluster; else need_cluster; fi
verify
