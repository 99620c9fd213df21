# shellcheck shell=bash
# A cluster with the product in it, from its start to its end. Sourced by run.sh and scale.sh, which say what runs in it.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cluster=$here/cluster/cluster.sh

# start NAME TEST IMAGES [ARGS of helm...]: compiles the program TEST, makes the cluster NAME and installs both charts with the
# images. However the script ends, what it has to show is shown and the cluster removed. KEEP=1 leaves it up, and uses it next time.
start() {
  local name=$1 test=$2 images=$3
  shift 3
  export KUBE_RASP_CLUSTER=${KUBE_RASP_CLUSTER:-$name}
  cd "$here/.."
  # Before the cluster is up: inside its network nothing can be fetched, and a compiler error needs no cluster.
  cargo test --workspace --test "$test" --no-run
  trap finish EXIT
  [[ -n ${KEEP:-} ]] || "$cluster" down
  "$cluster" up
  "$here/install.sh" "$images" "$@"
}

finish() {
  local status=$?
  if [[ $status != 0 ]]; then
    printf '\n--- the cluster when it failed ---\n'
    "$cluster" kubectl get pods -A -o wide | head -60 || true
    "$cluster" kubectl -n kube-rasp logs -l app.kubernetes.io/component=operator --tail=60 || true
    "$cluster" kubectl get events -A --sort-by=.lastTimestamp | tail -40 || true
  fi
  if [[ -z ${KEEP:-} ]]; then "$cluster" down; else echo "KUBE_RASP_CLUSTER=$KUBE_RASP_CLUSTER is left up: $cluster kubectl get pods -A"; fi
  exit $status
}

# inside TEST [ARGS...]: runs the program in the network of the node.
inside() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  "$cluster" exec bash -c \
    'RASP_E2E_KUBECONFIG=$KUBECONFIG RASP_E2E_KUBECTL=$(type -P kubectl) exec cargo test --offline --workspace --test "$@"' e2e "$@"
}
