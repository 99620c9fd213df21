#!/usr/bin/env bash
# Puts the images of FOLDER into the running cluster and installs both charts with them, as a user would. Running it
# again upgrades. `install.sh FOLDER [ARGS of helm...]`
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) images=$(realpath "$1")
shift
cluster=$here/cluster/cluster.sh charts=$here/../charts

"$cluster" image "$images"/*.tar
# The same images under the name of a later version, for upgrades.
for name in proxy operator; do "$cluster" tag "kube-rasp.test/$name:dev" "kube-rasp.test/$name:next"; done
id() { sed -n "s|.*\"kube-rasp.test/$1:dev\": \"sha256:\([0-9a-f]*\)\".*|\1|p" "$images/images.json"; }

"$cluster" helm upgrade --install kube-rasp-crds "$charts/kube-rasp-crds" --namespace kube-rasp --create-namespace --force-conflicts >/dev/null
# The tag stays the same when an image changes: the annotation makes the new image roll out. Tests scale the operator,
# which makes them the owner of that field: an upgrade takes it back.
"$cluster" helm upgrade --install kube-rasp "$charts/kube-rasp" --namespace kube-rasp --wait --timeout 120s --force-conflicts \
  --set images.operator.repository=kube-rasp.test/operator,images.operator.tag=dev \
  --set images.proxy.repository=kube-rasp.test/proxy,images.proxy.tag=dev \
  --set images.pullPolicy=Never \
  --set-string "operator.podAnnotations.images=$(id operator)-$(id proxy)" "$@" >/dev/null || {
  printf '\ninstall: kube-rasp did not become ready\n' >&2
  "$cluster" kubectl -n kube-rasp get pods,events >&2 || true
  "$cluster" kubectl -n kube-rasp describe pods >&2 || true
  "$cluster" kubectl -n kube-rasp logs -l app.kubernetes.io/component=operator --tail=40 >&2 || true
  exit 1
}
