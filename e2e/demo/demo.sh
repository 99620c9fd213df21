#!/usr/bin/env bash
# Protects an unchanged nginx on a real cluster and shows what happened. `demo.sh IMAGES`, called by `make demo`, which
# has built everything. The last line is for scripts; the cluster stays up. Every wait is bounded, and a wait that fails
# prints what the cluster says about it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) images=$(realpath "$1")
cluster=$here/../cluster/cluster.sh
policy=$here/../../manifests/examples/block.yaml

BENIGN="/products?name=O%27Brien&room=select+a+room"
ATTACK="/products?id=1%27%20OR%20%271%27=%271"

k() { "$cluster" kubectl "$@"; }
node() { "$cluster" exec "$@"; }
bold='' plain=''; if [[ -t 1 ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
indent() { sed 's/^/    /'; }

diagnose() {
  {
    printf '\ndemo: %s\n\n' "$*"
    k get pods -A -o wide
    k -n shop get rasppolicies -o yaml
    k -n shop describe pods
    k -n shop logs -l app=shop --all-containers --prefix --tail=20
    k -n kube-rasp logs -l app.kubernetes.io/component=operator --prefix --tail=40
    k get events -A --sort-by=.lastTimestamp | tail -20
    printf '\ndemo: %s\nThe cluster is left up to look further: %s kubectl get pods -A; `make demo-down` removes it.\n' "$*" "$cluster"
  } >&2 || true
  exit 1
}

until_true() { # what, seconds, command
  local what=$1 end=$((SECONDS + $2)); shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || diagnose "waited too long for $what"
    sleep 0.5
  done
}

# Sends one request from the node: prints head and body, and leaves the status in $status, the request id in $id.
request() { # url
  answer=$(node curl -sS -i --max-time 10 "$1") || diagnose "no answer from $1"
  answer=${answer//$'\r'/}
  status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$answer")
  id=$(sed -n 's/^x-request-id: //Ip' <<<"$answer" | head -1)
}

prometheus_value() { # query; 0 while there is no answer
  node curl -sS --max-time 5 -G --data-urlencode "query=$1" "http://$prometheus:9090/api/v1/query" |
    python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(int(float(r[0]["value"][1])) if r else 0)' 2>/dev/null || echo 0
}
counted() { (($(prometheus_value "$1") >= $2)); }

# --- install, label, apply ----------------------------------------------------------------------------------------
step "A cluster"
"$cluster" up
k get nodes | indent

step "kube-rasp is installed by its two Helm charts"
"$here/../install.sh" "$images"
"$cluster" helm list -n kube-rasp | cut -f1,5,6 | indent

step "The namespace asks for protection, the policy says what to do, and an ordinary nginx is deployed"
for namespace in shop monitoring; do k get namespace $namespace >/dev/null 2>&1 || k create namespace $namespace | indent; done
k label --overwrite namespace shop rasp.dev/inject=enabled | indent
k -n shop apply --validate=strict -f "$policy" | indent
# A new image of the sidecar reaches pods when they are created again: its id is part of the pod template.
sidecar=$(sed -n 's|.*/proxy:dev": "sha256:\([0-9a-f]*\)".*|\1|p' "$images/images.json")
sed "s/^      labels: {app: shop}/&\n      annotations: {demo.test\/sidecar: \"$sidecar\"}/" "$here/shop.yaml" | k -n shop apply -f - | indent
k apply -f "$here/prometheus.yaml" >/dev/null

k -n shop rollout status deployment/shop --timeout=90s >/dev/null || diagnose "the application did not become ready"
until_true "one pod of the application" 60 bash -c "[[ \$('$cluster' kubectl -n shop get pods -l app=shop -o name | wc -l) == 1 ]]"
pod=$(k -n shop get pods -l app=shop -o jsonpath='{.items[0].metadata.name}')
containers=$(k -n shop get pod "$pod" -o jsonpath='{.spec.initContainers[*].name} {.spec.containers[*].name}')
[[ $containers == "rasp-init rasp-proxy nginx" ]] || diagnose "the pod was not injected, its containers are: $containers"
until_true "the policy to be programmed" 120 bash -c \
  "[[ \$('$cluster' kubectl -n shop get rasppolicy block -o jsonpath='{.status.targets.programmed}') -ge 1 ]] &&
   '$cluster' kubectl -n shop wait rasppolicy/block --for=condition=Programmed --timeout=2s"
k -n monitoring wait pod/prometheus --for=condition=Ready --timeout=60s >/dev/null || diagnose "Prometheus did not become ready"

step "The pod has a sidecar, and a policy that is in force"
k -n shop get pods -o wide | indent
printf 'containers: %s\n' "$containers" | indent
k -n shop get rasppolicies | indent

# --- requests -----------------------------------------------------------------------------------------------------
prometheus=$(k -n monitoring get pod prometheus -o jsonpath='{.status.podIP}')
# Of this sidecar alone: the series of an earlier pod end at some moment, and a sum over all would fall.
detections="sum(rasp_detections_total{instance=\"$(k -n shop get pod "$pod" -o jsonpath='{.status.podIP}'):16191\"})"
before=$(prometheus_value "$detections")
addresses=()
for ip in $(k -n shop get pod "$pod" -o jsonpath='{.status.podIPs[*].ip}'); do [[ $ip == *:* ]] && ip="[$ip]"; addresses+=("$ip:8080"); done
for ip in $(k -n shop get service shop -o jsonpath='{.spec.clusterIPs[*]}'); do [[ $ip == *:* ]] && ip="[$ip]"; addresses+=("$ip:80"); done

step "Requests to the pod and to its Service, IPv4 and IPv6"
attacks=0
for address in "${addresses[@]}"; do
  request "http://$address$BENIGN"
  benign=$status
  request "http://$address$ATTACK"
  attack=$status attacks=$((attacks + 1))
  printf '%-28s benign %s   attack %s   request id %s\n' "$address" "$benign" "$attack" "$id" | indent
  [[ $benign == 200 && $attack == 403 && -n $id ]] || diagnose "expected 200 and 403 with a request id, got $benign and $attack, id '$id'"
done

step "GET $BENIGN"
request "http://${addresses[0]}$BENIGN"; indent <<<"$answer"
step "GET $ATTACK"
request "http://${addresses[0]}$ATTACK"; attacks=$((attacks + 1)); indent <<<"$answer"

step "The event that the sidecar wrote for it"
event() { k -n shop logs "$pod" -c rasp-proxy | grep -F "$id" | head -1; }
until_true "the event line" 20 event
event | indent

step "What reached nginx: its own access log, without probes"
access=$(k -n shop logs "$pod" -c nginx | grep '"target"' || true)
tail -n 5 <<<"$access" | indent
if grep -qF "$ATTACK" <<<"$access"; then diagnose "an attack reached the application"; fi
[[ $(grep -cF "$BENIGN" <<<"$access") -ge $((attacks)) ]] || diagnose "benign requests are missing from the application's log"

step "What a Prometheus in the cluster scraped"
until_true "Prometheus to have scraped the detections" 60 counted "$detections" $((before + attacks))
until_true "Prometheus to have scraped the injection" 60 counted 'sum(rasp_injection_requests_total)' 1
for query in 'sum(rasp_detections_total)' 'sum(rasp_requests_total{verdict="allow"})' 'sum(rasp_requests_total{verdict="block"})' \
  'sum(rasp_injection_requests_total)'; do
  printf '%-46s %s\n' "$query" "$(prometheus_value "$query")" | indent
done
k -n shop get rasppolicies | indent

step "Look further"
indent <<T
e2e/cluster/cluster.sh kubectl -n shop get rasppolicy block -o yaml
e2e/cluster/cluster.sh kubectl -n shop patch rasppolicy block --type=merge -p '{"spec":{"mode":"Monitor"}}'
e2e/cluster/cluster.sh exec curl -i 'http://${addresses[0]}$ATTACK'
e2e/cluster/cluster.sh exec curl -s http://${addresses[0]%:*}:16191/metrics
make demo-down        removes everything again
T
printf '\ndemo: benign=%s attack=%s detections=%s\n' "$benign" "$attack" "$(prometheus_value "$detections")"
