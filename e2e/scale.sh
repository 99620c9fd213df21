#!/usr/bin/env bash
# How the operator fares with a large cluster: a cluster of its own (named `scale`), the chart with one replica of the
# operator, thousands of plain API objects, tables, and the cluster removed again. Called by `make scale`.
#   RASP_SCALE_NAMESPACES=2000 RASP_SCALE_PODS=5000 RASP_SCALE_POLICIES=1000 RASP_SCALE_RATE=200 RASP_SCALE_SECONDS=30
set -euo pipefail
images=$(realpath "$1")
# shellcheck source=e2e/start.sh
source "$(dirname "$0")/start.sh"

unset KEEP # what it does to its cluster nobody wants again
start scale scale "$images" --set operator.replicas=1
inside scale
