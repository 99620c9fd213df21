#!/usr/bin/env bash
# The end-to-end tests: a cluster of its own (named `test`), the product installed in it, the tests inside the node's
# network, four at once since they mostly wait, and the cluster removed again, also when something failed. Called by `make e2e`.
#   TEST=words   only tests whose names contain the words      KEEP=1   leave the cluster up, and use it next time
set -euo pipefail
images=$(realpath "$1")
# shellcheck source=e2e/start.sh
source "$(dirname "$0")/start.sh"

start test e2e "$images"
export RUST_BACKTRACE=0 RASP_E2E_IMAGES="$images/images.json"
# shellcheck disable=SC2086 # several words are several arguments
inside e2e -- --test-threads=4 ${TEST:-}

# Last of all: what the operator asked for in all of these tests, against what it is granted.
roles() { "$cluster" kubectl -n kube-rasp get clusterrole,role -l app.kubernetes.io/part-of=kube-rasp -o json; }
roles | "$here/checks/rights.py" "$("$cluster" logs)/audit.log" ${TEST:+--partial}
