#!/usr/bin/env bash
# Stage 3 of the proof of concept: Gitea with PostgreSQL, Actions and SSH, and its runners; or a look at a Gitea that is
# there. Run it again at any time.
#
#   03-setup-gitea.sh [--host NAME] [--dry-run] [--log-folder FOLDER]
#   03-setup-gitea.sh --existing URL [--runner OWNER/NAME=LABEL]… [--dry-run] [--log-folder FOLDER]
#   03-setup-gitea.sh --only runners --runner OWNER/NAME=LABEL… [--image NAME:TAG] [--dry-run] [--log-folder FOLDER]
#
#   --host         Gitea's name, for people and for Pods; people's machines must find 127.0.0.1 under it (default:
#                  gitea.127.0.0.1.nip.io, which DNS has; or a line in /etc/hosts)
#   --existing     makes nothing: version, Actions, the token's rights, who may make organisations, and each --runner are
#                  looked at
#   --only runners the runners in the cluster, when stage 5 has made their repositories
#   --runner       the jobs of this repository with this label
#   --image        of the runners, which the nodes have or can pull; without it pipelines/runner.Dockerfile is built with
#                  docker or podman, and loaded into the kind cluster
#   --dry-run      prints every command and manifest, and runs none
#   --log-folder   where the log goes (default: .goldpath/log)
#
# From the environment, for --existing (else stage 3 keeps them in .goldpath/poc/gitea.env, which the next stages read):
#   GITEA_ADMIN_TOKEN_FILE  the token of an administrator, in a file (scopes: `goldpath platform setup --help`)
#   GITEA_CA_FILE           the certificate authority of the URL, if no public one
#
# Passwords are made here, and kept in Secrets and in .goldpath/poc (mode 0600). Needs kubectl, helm, curl, jq, openssl.
# Installing needs a registry, the chart and helm: that part, and the runners in the cluster, were never run where this was
# written. Their manifests were checked by a real API server, but for cert-manager's; the values of the chart by nobody.
set -euo pipefail
stage=03-setup-gitea
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

host=gitea.127.0.0.1.nip.io existing='' only='' image=''
runners=()
read_options '' 'host existing only image runner+' "$@"
name='[A-Za-z0-9][A-Za-z0-9._-]*'
for runner in "${runners[@]}"; do
  [[ $runner =~ ^$name/$name=$name$ ]] || fail "--runner must be OWNER/NAME=LABEL" "as in --runner platform/review=goldpath-plan"
done
case $only in '') ;; runners) [ ${#runners[@]} -gt 0 ] || fail "--only runners needs --runner" "see --help" ;; *) fail "--only must be runners" ;; esac
[[ $host =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] || fail "--host must be a name" "as in --host gitea.example.com"
[ -z "$existing" ] || [[ $existing =~ ^https://[^/@]+/?$ ]] || fail "--existing must be an https:// address" "Kratix and Goldpath refuse others"
start
need kubectl curl jq openssl
# shellcheck source=/dev/null
[ ! -s "$poc/cluster.env" ] || . "$poc/cluster.env"
port=${HTTPS_PORT:-8443} ssh_port=${SSH_PORT:-30222}

# Its Secrets ---------------------------------------------------------------------------------------------------------------

# What is there stays: the database knows the password that it was made with.
ensure_password() { # NAME KEY=VALUE… (`random`: made here)
  local secret=$1 entry files=(); shift
  if [ -z "$dry" ] && kubectl get secret "$secret" --namespace gitea >>"$log" 2>&1; then return; fi
  for entry in "$@"; do
    if [ "${entry#*=}" = random ]; then random | tr -d '\n' >"$work/$secret.${entry%%=*}"; else printf '%s' "${entry#*=}" >"$work/$secret.${entry%%=*}"; fi
    files+=("${entry%%=*}=$work/$secret.${entry%%=*}")
  done
  apply_secret gitea "$secret" "${files[@]}"
  [ -n "$dry" ] || say "made: the Secret $secret"
}

# Installing ----------------------------------------------------------------------------------------------------------------

install_gitea() {
  need helm
  need_cluster
  apply <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: gitea, labels: {app.kubernetes.io/part-of: goldpath-poc}}
YAML
  ensure_password gitea-admin username=gitea-admin password=random
  ensure_password gitea-database password=random
  apply <<YAML
# The certificate authority of this proof of concept.
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self-signed, namespace: gitea}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: authority, namespace: gitea}
spec:
  isCA: true
  commonName: goldpath-poc
  secretName: authority
  duration: 87600h
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: self-signed, kind: Issuer}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: authority, namespace: gitea}
spec: {ca: {secretName: authority}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: gitea, namespace: gitea}
spec:
  secretName: gitea-tls
  dnsNames: ["$host"]
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: authority, kind: Issuer}
YAML
  apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: database, namespace: gitea}
spec:
  clusterIP: None
  selector: {app: database}
  ports: [{name: postgres, port: 5432}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database, namespace: gitea, labels: {app: database}}
spec:
  serviceName: database
  selector: {matchLabels: {app: database}}
  template:
    metadata: {labels: {app: database}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 70, runAsGroup: 70, fsGroup: 70, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: postgres
          image: $(pinned "$POSTGRES_IMAGE" "$POSTGRES_DIGEST")
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          ports: [{name: postgres, containerPort: 5432}]
          env:
            - {name: POSTGRES_USER, value: gitea}
            - {name: POSTGRES_DB, value: gitea}
            - {name: PGDATA, value: /var/lib/postgresql/data/gitea}
            - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: gitea-database, key: password}}}
          readinessProbe: {exec: {command: [pg_isready, --username, gitea]}, periodSeconds: 3}
          volumeMounts: [{name: data, mountPath: /var/lib/postgresql/data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}
YAML
  run kubectl rollout status statefulset/database --namespace gitea --timeout=5m

  local url=https://$host:$port
  cat >"$work/gitea.yaml" <<YAML
replicaCount: 1
strategy: {type: Recreate}
image:
  registry: ${GITEA_IMAGE%%/*}
  repository: $(sed 's,^[^/]*/,,; s,:.*,,' <<<"$GITEA_IMAGE")
  tag: $(sed 's,.*:,,; s,-rootless$,,' <<<"$GITEA_IMAGE")
  rootless: true
  digest: "$GITEA_DIGEST"
postgresql: {enabled: false}
postgresql-ha: {enabled: false}
valkey: {enabled: false}
valkey-cluster: {enabled: false}
test: {enabled: false}
persistence: {size: 5Gi}
service:
  ssh: {type: NodePort, port: 22, nodePort: 30222}
ingress:
  enabled: true
  className: traefik
  hosts: [{host: $host, paths: [{path: /}]}]
  tls: [{secretName: gitea-tls, hosts: [$host]}]
gitea:
  admin: {existingSecret: gitea-admin, email: gitea-admin@goldpath.invalid, passwordMode: initialOnlyNoReset}
  additionalConfigFromEnvs:
    - {name: GITEA__DATABASE__PASSWD, valueFrom: {secretKeyRef: {name: gitea-database, key: password}}}
  config:
    server:
      DOMAIN: $host
      ROOT_URL: $url/
      SSH_DOMAIN: $host
      SSH_PORT: $ssh_port
      OFFLINE_MODE: true
    database: {DB_TYPE: postgres, HOST: "database:5432", NAME: gitea, USER: gitea}
    session: {PROVIDER: db}
    cache: {ADAPTER: memory}
    queue: {TYPE: level}
    indexer: {ISSUE_INDEXER_TYPE: db}
    repository: {DEFAULT_BRANCH: main}
    service: {DISABLE_REGISTRATION: true}
    # Who makes a Team's organisation before Terraform does has the Team's groups in the cluster.
    admin: {DISABLE_REGULAR_ORG_CREATION: true}
    actions: {ENABLED: true, DEFAULT_ACTIONS_URL: self}
    packages: {ENABLED: true}
YAML
  show "$work/gitea.yaml"
  run helm upgrade --install gitea gitea --repo "$GITEA_CHART" --version "$GITEA_CHART_VERSION" --namespace gitea --values "$work/gitea.yaml" --wait --timeout 10m

  # Pods find Gitea under the same address as people do.
  apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: entry, namespace: traefik, labels: {app.kubernetes.io/part-of: goldpath-poc}}
spec:
  selector: {app.kubernetes.io/name: traefik}
  ports: [{name: https, port: $port, targetPort: websecure}]
YAML
  local rule="rewrite name exact $host entry.traefik.svc.cluster.local"
  if [ -n "$dry" ]; then
    printf '# into the ConfigMap coredns in kube-system, before the plugin kubernetes:\n#   %s\n' "$rule"
  elif ! kubectl get configmap coredns --namespace kube-system --output jsonpath='{.data.Corefile}' >"$work/Corefile" 2>>"$log"; then
    fail "the cluster has no ConfigMap coredns" "its DNS must answer $host with the address of the Service entry in traefik"
  elif ! grep -qF "$rule" "$work/Corefile"; then
    sed -i "/rewrite name exact .* entry\.traefik\.svc\.cluster\.local/d; s/^\( *\)kubernetes /\1$rule\n&/" "$work/Corefile"
    kubectl patch configmap coredns --namespace kube-system --type merge --patch "$(jq -n --rawfile file "$work/Corefile" '{data: {Corefile: $file}}')" >>"$log" 2>&1 ||
      fail "the ConfigMap coredns could not be changed" "all that the API server said is in $log"
    run kubectl rollout restart deployment/coredns --namespace kube-system
    run kubectl rollout status deployment/coredns --namespace kube-system --timeout=2m
    say "made: $host in the cluster's DNS"
  fi

  export GITEA_URL=$url GITEA_CA_FILE=$poc/ca.crt GITEA_ADMIN_TOKEN_FILE=$poc/admin.token
  if [ -n "$dry" ]; then
    printf '# ca.crt of the Secret authority goes to %s\n# gitea admin user generate-access-token goes to %s\n' "$GITEA_CA_FILE" "$GITEA_ADMIN_TOKEN_FILE"
    return
  fi
  kubectl get secret authority --namespace gitea --output jsonpath='{.data.tls\.crt}' | base64 --decode >"$GITEA_CA_FILE"
  wait_for 120 "$url to answer" "does $host lead to 127.0.0.1 here? A line in /etc/hosts would: 127.0.0.1 $host" \
    curl --silent --show-error --fail --cacert "$GITEA_CA_FILE" --max-time 5 "$url/api/healthz"
  if ! token_is_valid; then
    kubectl exec --namespace gitea deployment/gitea --container gitea -- gitea admin user generate-access-token --username gitea-admin \
      --token-name "goldpath-poc $(openssl rand -hex 4)" --scopes all --raw 2>>"$log" | tail -n 1 >"$GITEA_ADMIN_TOKEN_FILE"
    token_is_valid || fail "Gitea gave no token of gitea-admin" "kubectl logs -n gitea deployment/gitea"
    say "made: the administrator's token"
  fi
  printf '%s=%q\n' GITEA_URL "$GITEA_URL" GITEA_CA_FILE "$GITEA_CA_FILE" GITEA_ADMIN_TOKEN_FILE "$GITEA_ADMIN_TOKEN_FILE" >"$poc/gitea.env"
  ensure_owner
}

token_is_valid() {
  [ -s "$GITEA_ADMIN_TOKEN_FILE" ] || return 1
  gitea GET /user
  [ "$status" = 200 ]
}

# Who approves and merges: a person of another name than who writes pull requests.
ensure_owner() {
  local password
  read_or_null /users/platform-owner
  if [ "$answer" != null ] && [ -s "$poc/owner.token" ]; then
    request "token $(<"$poc/owner.token")" GET /user
    [ "$status" != 200 ] || return 0
  fi
  password=$(random)
  if [ "$answer" = null ]; then
    change "user platform-owner" POST /admin/users "$(jq -Rc '{username: "platform-owner", email: "platform-owner@goldpath.invalid",
      password: ., must_change_password: false}' < <(printf '%s' "$password"))"
  else
    change "password of platform-owner" PATCH /admin/users/platform-owner "$(jq -Rc '{login_name: "platform-owner", source_id: 0,
      password: ., must_change_password: false}' < <(printf '%s' "$password"))"
  fi
  printf '%s\n' "$password" >"$poc/owner.password"
  status=$(jq -n --arg name "goldpath-poc $(openssl rand -hex 4)" '{name: $name, scopes: ["write:repository", "write:issue", "read:user", "read:organization"]}' |
    curl --silent --show-error --max-time 60 --cacert "$GITEA_CA_FILE" --output "$work/answer" --write-out '%{http_code}' \
      --header @<(printf 'Authorization: Basic %s\n' "$(printf 'platform-owner:%s' "$password" | base64 --wrap 0)") \
      --header 'Content-Type: application/json' --data-binary @- "$GITEA_URL/api/v1/users/platform-owner/tokens" 2>>"$log") || status=none
  [ "$status" = 201 ] || fail "token of platform-owner: $status" "run this again"
  jq -r .sha1 "$work/answer" >"$poc/owner.token"
  say "made: user platform-owner; its password is in $poc/owner.password"
}

# Runners -------------------------------------------------------------------------------------------------------------------

build_image() {
  local engine=docker
  command -v docker >/dev/null || ! command -v podman >/dev/null || engine=podman
  need "$engine" kind
  local base
  for base in "runner:$RUNNER_VERSION" "terraform:$TERRAFORM_VERSION"; do
    grep -qF "/$base" "$root/pipelines/runner.Dockerfile" || fail "pipelines/runner.Dockerfile is not from $base" "make it and scripts/versions.sh say the same"
  done
  run "$root/scripts/build-images.sh" --image "$default_image" --engine "$engine" --runner
  # kind takes an archive from either.
  run "$engine" save --output "$work/runner.tar" "$image"
  run kind load image-archive "$work/runner.tar" --name "${CLUSTER:-goldpath-poc}"
  [ -n "$dry" ] || say "the nodes have $image"
}

install_runner() { # OWNER/NAME LABEL
  local repository=$1 label=$2 name
  name=$(tr '[:upper:]._' '[:lower:]--' <<<"$label")
  if [ -z "$dry" ]; then
    gitea POST "/repos/$repository/actions/runners/registration-token"
    [[ $status == 2?? ]] || fail "Gitea gives no registration token for $repository: $status" "stage 5 makes the repository"
    jq -r .token <<<"$answer" >"$work/registration" # a line: the runner reads one
    kubectl create configmap gitea-ca --namespace goldpath-runners --from-file=ca.crt="$GITEA_CA_FILE" --dry-run=client --output yaml | apply
  fi
  apply_secret goldpath-runners "$name" "token=$work/registration"
  apply <<YAML
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: $name, namespace: goldpath-runners, labels: {app: $name, app.kubernetes.io/part-of: goldpath-poc}}
spec:
  serviceName: $name
  selector: {matchLabels: {app: $name}}
  template:
    metadata: {labels: {app: $name}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        # Only this one has the token, which can register runners and nothing else; it needs it once.
        - name: register
          image: $image
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          command: [/bin/sh, -euc]
          args:
            - |
              cd /var/lib/goldpath-runner
              [ ! -s .runner ] || exit 0
              printf '{"runner": {"file": ".runner", "labels": ["%s:host"]}}\n' "\$LABEL" >register.yaml
              gitea-runner --config register.yaml register --instance "\$GITEA_URL" --name "\$LABEL-\$HOSTNAME" </run/registration/token
          env: &environment
            - {name: GITEA_URL, value: "$GITEA_URL"}
            - {name: GITEA_CA_FILE, value: /run/ca/ca.crt}
            - {name: SSL_CERT_FILE, value: /run/ca/ca.crt}
            - {name: LABEL, value: "$label"}
          volumeMounts:
            - {name: data, mountPath: /var/lib/goldpath-runner}
            - {name: ca, mountPath: /run/ca, readOnly: true}
            - {name: registration, mountPath: /run/registration, readOnly: true}
      containers:
        - name: runner
          image: $image
          args: [--repository, "$repository", --label, "$label"]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          env: *environment
          resources: {requests: {cpu: 50m, memory: 128Mi}, limits: {memory: 1Gi}}
          volumeMounts:
            - {name: data, mountPath: /var/lib/goldpath-runner}
            - {name: ca, mountPath: /run/ca, readOnly: true}
      volumes:
        - {name: ca, configMap: {name: gitea-ca}}
        - {name: registration, secret: {secretName: $name}}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
YAML
}

runner_is_online() { # OWNER/NAME LABEL
  gitea GET "/repos/$1/actions/runners"
  [ "$status" = 200 ] && jq -e --arg wanted "$2" 'any(.runners[]?; (.status != "offline") and any(.labels[]?; .name == $wanted))' <<<"$answer" >/dev/null && return
  # One that serves the whole Gitea is fit, too.
  gitea GET "/admin/actions/runners"
  [ "$status" = 200 ] && jq -e --arg wanted "$2" 'any(.runners[]?; (.status != "offline") and any(.labels[]?; .name == $wanted))' <<<"$answer" >/dev/null
}

verify_runners() {
  local runner repository label
  [ -z "$dry" ] || return 0
  for runner in "${runners[@]}"; do
    repository=${runner%=*} label=${runner##*=}
    wait_for "$1" "a runner with the label $label for $repository" "scripts/start-runner.sh --repository $repository --label $label --folder FOLDER" \
      runner_is_online "$repository" "$label"
    say "a runner with the label $label is there for $repository"
  done
}

# Is it so? -----------------------------------------------------------------------------------------------------------------

# An empty body is refused with 422 where the token may write, with 403 where it may not: nothing is made.
may() { # SCOPE METHOD PATH
  gitea "$2" "$3" "{}"
  case $status in
    400 | 422) ;;
    *) fail "the token in $GITEA_ADMIN_TOKEN_FILE lacks the scope $1: $2 $3 is $status" "make one with the scopes that \`goldpath platform setup --help\` names" ;;
  esac
}

# Gitea tells nobody its settings: it is asked to make, for people who are no administrators, an organisation of a name that
# it reserves. Who may make none is told so (403) before the name is looked at (422).
warn_of_organizations() {
  local user users asked=0 may=()
  gitea GET '/admin/users?limit=50'
  users=$(jq -r '.[] | select(.is_admin | not) | .login' <<<"$answer" 2>/dev/null) || users=''
  for user in $(head -n 20 <<<"$users"); do
    gitea POST "/orgs?sudo=$user" '{"username": "api"}'
    case $status in
      403) ;;
      422) may+=("$user") ;;
      *) continue ;;
    esac
    asked=$((asked + 1))
  done
  if [ $asked -eq 0 ]; then
    say "note: who may make organisations could not be found out: set DISABLE_REGULAR_ORG_CREATION = true in [admin] of Gitea's app.ini"
  elif [ ${#may[@]} -gt 0 ]; then
    say "warning: ${#may[@]} of $asked users may make organisations, as ${may[0]}: who makes a Team's before Terraform does gets the Team's rights in the cluster"
    say "hint: set DISABLE_REGULAR_ORG_CREATION = true in [admin] of Gitea's app.ini, and restart it"
  fi
}

verify_gitea() {
  [ -z "$dry" ] || return 0
  local found
  gitea GET /version
  found=$(jq -r '.version // ""' <<<"$answer" 2>/dev/null) || found=''
  [ -n "$found" ] || fail "what answers at $GITEA_URL is no Gitea" "see GITEA_URL"
  [ "$(printf '%s\n' "$GITEA_MINIMUM" "${found%%[-+]*}" | sort --version-sort | head -n 1)" = "$GITEA_MINIMUM" ] ||
    fail "Gitea at $GITEA_URL is $found" "$GITEA_MINIMUM or later is needed (CVE-2026-58426)"
  gitea GET /user
  [ "$status" = 200 ] || fail "Gitea refuses the token in $GITEA_ADMIN_TOKEN_FILE: $status" "is it of this Gitea, with read:user?"
  jq -e .is_admin <<<"$answer" >/dev/null || fail "$(jq -r .login <<<"$answer") is no administrator of $GITEA_URL" "see GITEA_ADMIN_TOKEN_FILE in --help"
  may write:admin POST /admin/users
  may write:organization POST /orgs
  may write:repository POST /repos/migrate
  gitea GET /admin/actions/runners
  [ "$status" = 200 ] || fail "Actions are off in $GITEA_URL: $status" "set ENABLED = true in [actions] of its app.ini"
  warn_of_organizations
  say "Gitea $found at $GITEA_URL, with Actions"
}

if [ "$only" = runners ]; then
  need_cluster
  if [ -n "$dry" ] && [ ! -s "$poc/gitea.env" ] && [ -z "${GITEA_URL:-}" ]; then export GITEA_URL=https://$host:$port GITEA_ADMIN_TOKEN_FILE=$poc/admin.token; fi
  need_gitea
  if [ -z "$dry" ]; then : "${GITEA_CA_FILE:?is not set: see --help}"; fi
  apply <<'YAML'
apiVersion: v1
kind: Namespace
metadata:
  name: goldpath-runners
  labels: {app.kubernetes.io/part-of: goldpath-poc, pod-security.kubernetes.io/enforce: restricted}
YAML
  if [ -z "$image" ]; then
    image=localhost/goldpath-runner:$version
    build_image
  fi
  for runner in "${runners[@]}"; do install_runner "${runner%=*}" "${runner##*=}"; done
  verify_runners 180
  exit 0
fi
if [ -n "$existing" ]; then
  export GITEA_URL=${existing%/}
  need_gitea
else
  install_gitea
fi
verify_gitea
verify_runners 60
