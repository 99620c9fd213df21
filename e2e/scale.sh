#!/usr/bin/env bash
# How the operator fares with a large cluster: a cluster of its own (named `scale`), the chart with one replica of the
# operator, thousands of plain API objects, tables, and the cluster removed again. Called by `make scale`.
#   RASP_SCALE_NAMESPACES=2000 RASP_SCALE_PODS=5000 RASP_SCALE_POLICIES=1000 RASP_SCALE_RATE=200 RASP_SCALE_SECONDS=30
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) images=$(realpath "$1")
export KUBE_RASP_CLUSTER=${KUBE_RASP_CLUSTER:-scale}
cluster=$here/cluster/cluster.sh
cd "$here/.."

# Before the cluster is up: inside its network nothing can be fetched, and a compiler error needs no cluster.
cargo test --workspace --test scale --no-run

finish() {
  local status=$?
  if [[ $status != 0 ]]; then
    printf '\n--- the operator when it failed ---\n'
    "$cluster" kubectl -n kube-rasp get pods -o wide || true
    "$cluster" kubectl -n kube-rasp logs -l app.kubernetes.io/component=operator --tail=40 || true
  fi
  "$cluster" down
  exit $status
}
trap finish EXIT

"$cluster" down
"$cluster" up
"$here/install.sh" "$images" --set operator.replicas=1
# shellcheck disable=SC2016 # expanded by the inner shell
"$cluster" exec bash -c \
  'RASP_E2E_KUBECONFIG=$KUBECONFIG RASP_E2E_KUBECTL=$(type -P kubectl) exec cargo test --offline --workspace --test scale'
