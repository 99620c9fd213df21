#!/usr/bin/env bash
# A real single-node Kubernetes for tests and the demo, without docker, systemd or a registry.
#
#   cluster.sh build             compile every program (once per change of its inputs)
#   cluster.sh up                start; a cluster that is up and healthy is left as it is
#   cluster.sh down              stop and remove every process, mount, cgroup, network namespace and file of it
#   cluster.sh status            "up" or "down", exit status 0 or 1
#   cluster.sh image TAR...      import docker-archives into its containerd
#   cluster.sh images            what its containerd holds
#   cluster.sh kubectl ARGS...   kubectl for this cluster (your own kubeconfig is neither read nor written)
#   cluster.sh helm ARGS...      helm for this cluster
#   cluster.sh exec CMD...       any command inside the node's network, with KUBECONFIG and PATH set
#   cluster.sh tag OLD NEW       a second name for an image
#   cluster.sh bin               folder of the programs
#   cluster.sh logs              folder of the logs, the API server's audit log (audit.log) among them
#
# Environment: KUBE_RASP_CLUSTER (name, default dev), KUBE_RASP_CACHE (default ~/.cache/kube-rasp), KUBE_RASP_STATE
# (default $KUBE_RASP_CACHE/state). README.md beside this file says more.
set -euo pipefail
cd "$(dirname "$0")" && source ./env.sh && source ./build.sh && source ./config.sh && source ./node.sh && cd "$OLDPWD"

in_cluster() {
  require_root; require_up
  B=$(bin_dir)
  # HELM_*: helm would otherwise read and write the user's own repositories and plugins.
  exec nsenter --net="/run/netns/$NETNS" env KUBECONFIG="$KUBECONFIG_FILE" PATH="$B:$PATH" \
    HELM_CONFIG_HOME="$STATE/helm" HELM_CACHE_HOME="$STATE/helm" HELM_DATA_HOME="$STATE/helm" "$@"
}

image() {
  require_root; require_up
  B=$(bin_dir)
  local archive; for archive in "$@"; do import "$archive"; done
}

status() {
  B=$(bin_dir)
  if [[ $(owner) == "$STATE" ]] && healthy; then echo up; else echo down; return 1; fi
}

verb=${1:-help}
[[ $# == 0 ]] || shift
case $verb in
  build | up | down | status) "$verb" ;;
  image) image "$@" ;;
  images) B=$(bin_dir); require_up; ctr images list ;;
  tag) B=$(bin_dir); require_up; ctr images tag --force "$1" "$2" >/dev/null ;;
  kubectl | helm) in_cluster "$verb" "$@" ;;
  exec) in_cluster "$@" ;;
  bin) bin_dir ;;
  logs) echo "$STATE/log" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; [[ $verb == help ]] || exit 2 ;;
esac
