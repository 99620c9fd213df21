# Names, folders and small functions that every script here shares. Sourced; sets no state.
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NAME=${KUBE_RASP_CLUSTER:-dev}
CACHE=${KUBE_RASP_CACHE:-$HOME/.cache/kube-rasp}
NETNS=kube-rasp-$NAME
STATE=${KUBE_RASP_STATE:-$CACHE/state}/$NAME # large: etcd, images, logs
RUN=/run/kube-rasp-$NAME                     # sockets (whose paths have to be short), process ids, the owner
LOCK=/run/lock/kube-rasp-$NAME.lock
KUBECONFIG_FILE=$STATE/admin.conf

NODE_IP=172.30.0.1 NODE_IP6=fd00:30::1
POD_CIDR=10.244.0.0/24 POD_CIDR6=fd00:244::/112
SERVICE_CIDR=10.96.0.0/16 SERVICE_CIDR6=fd00:96::/112 API_SERVICE_IP=10.96.0.1

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $NAME =~ ^[a-z0-9]{1,12}$ ]] || die "KUBE_RASP_CLUSTER=$NAME: use 1 to 12 letters and digits, it becomes part of names"
[[ $STATE =~ ^/[A-Za-z0-9._/-]+$ ]] || die "KUBE_RASP_STATE=$STATE: use an absolute path without blanks"

# The hash of everything that decides what the binaries are; a build with the same inputs is never repeated.
inputs() {
  (cd "$here" && { go version; cat build.sh pause.c hyperkube/go.* hyperkube/main.go tools/*/go.*; }) |
    sha256sum | cut -c1-16
}
# A cluster that is up goes on with the programs it was started with, whatever is built meanwhile.
bin_dir() { cat "$RUN/bin" 2>/dev/null || echo "$CACHE/cluster/$(inputs)/bin"; }

# `nsenter --net`, never `ip netns exec`: the latter mounts a new /sys, in which the kubelet finds no cgroups.
in_node() { nsenter --net="/run/netns/$NETNS" "$@"; }
node_pids() { ip netns pids "$NETNS" 2>/dev/null || true; }
# Containers are in their own network namespaces; they are known by the ids that our containerd has a folder for. Its
# CRI plugin puts them below this cgroup in each hierarchy, where another containerd of the machine may have its own.
pod_cgroups() {
  local folder; for folder in "$RUN"/containerd/io.containerd.runtime.v2.task/k8s.io/*/; do
    [[ ! -d $folder ]] || find /sys/fs/cgroup -depth -type d -path "*/k8s.io/$(basename "$folder")*" 2>/dev/null || true
  done
}
pod_pids() { pod_cgroups | while read -r group; do cat "$group/cgroup.procs" 2>/dev/null || true; done | sort -u; }

# Held until the script ends. The path is compared after the lock was won: `down` removes the file it has locked.
lock() {
  mkdir -p "$(dirname "$LOCK")"
  while :; do
    exec 9>"$LOCK"
    flock -n 9 || die "another cluster.sh is at work on cluster '$NAME'; wait for it, or set KUBE_RASP_CLUSTER to another name"
    [[ $(stat -Lc %i /proc/self/fd/9) == "$(stat -c %i "$LOCK" 2>/dev/null)" ]] && return
  done
}

owner() { cat "$RUN/owner" 2>/dev/null || true; }
require_root() { [[ $(id -u) == 0 ]] || die "needs root: it makes network namespaces, cgroups and mounts"; }
require_up() {
  [[ $(owner) == "$STATE" && -e $KUBECONFIG_FILE ]] || die "cluster '$NAME' is not up; run: make cluster-up"
}
