#!/usr/bin/env bash
# The end-to-end tests: a cluster of its own (named `test`), the product installed in it, the tests inside the node's
# network, four at once since they mostly wait, and the cluster removed again, also when something failed. Called by `make e2e`.
#   TEST=words   only tests whose names contain the words      KEEP=1   leave the cluster up, and use it next time
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) images=$(realpath "$1")
export KUBE_RASP_CLUSTER=${KUBE_RASP_CLUSTER:-test}
cluster=$here/cluster/cluster.sh
cd "$here/.."

# Before the cluster is up: inside its network nothing can be fetched, and a compiler error needs no cluster.
cargo test --workspace --test e2e --no-run

finish() {
  local status=$?
  if [[ $status != 0 ]]; then
    printf '\n--- the cluster when it failed ---\n'
    "$cluster" kubectl get pods -A -o wide || true
    "$cluster" kubectl -n kube-rasp logs -l app.kubernetes.io/component=operator --tail=60 || true
    "$cluster" kubectl get events -A --sort-by=.lastTimestamp | tail -40 || true
  fi
  if [[ -z ${KEEP:-} ]]; then "$cluster" down; else echo "KUBE_RASP_CLUSTER=$KUBE_RASP_CLUSTER is left up: $cluster kubectl get pods -A"; fi
  exit $status
}
trap finish EXIT

[[ -n ${KEEP:-} ]] || "$cluster" down
"$cluster" up
"$here/install.sh" "$images"
# shellcheck disable=SC2016,SC2086 # expanded by the inner shell; several words are several arguments
"$cluster" exec env RUST_BACKTRACE=0 RASP_E2E_IMAGES="$images/images.json" bash -c \
  'RASP_E2E_KUBECONFIG=$KUBECONFIG RASP_E2E_KUBECTL=$(type -P kubectl) exec cargo test --offline --workspace --test e2e -- --test-threads=4 "$@"' \
  e2e ${TEST:-}

# Last of all: what the operator asked for in all of these tests, against what it is granted.
roles() { "$cluster" kubectl -n kube-rasp get clusterrole,role -l app.kubernetes.io/part-of=kube-rasp -o json; }
roles | "$here/checks/rights.py" "$("$cluster" logs)/audit.log" ${TEST:+--partial}
