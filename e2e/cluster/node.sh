# Starts and stops the one node of a cluster. Everything runs in its own network namespace, so nothing touches the
# machine's network; `down` is the exact reverse and needs nothing to be healthy. Sourced by cluster.sh.
# shellcheck shell=bash disable=SC2086,SC2153,SC2154,SC2174

COMPONENTS=(mounts etcd apiserver kcm scheduler kube-proxy coredns containerd kubelet)
# kubelet sets these for the whole machine, and refuses to start if it may not: they are put back by `down`.
SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
# Folders at fixed places that kubelet, containerd and CNI use whatever they are told. The node has its own instead of
# the machine's, where another kubelet may be at work; those that `up` had to make are removed by `down`.
FIXED_FOLDERS=(/run/mount /run/containerd /run/nri /var/lib/cni /var/lib/kubelet /var/log/containers)

start() { # name, command
  local name=$1 mount=(); shift
  [[ ! -e $RUN/mounts.pid ]] || mount=("--mount=/proc/$(cat "$RUN/mounts.pid")/ns/mnt")
  # Descriptor 9 is the lock: a daemon that inherits it would hold it for ever.
  setsid nsenter --net="/run/netns/$NETNS" "${mount[@]}" "$@" >"$STATE/log/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$RUN/$name.pid"
}

until_ok() { # what, tries of 0.2 s, command
  local what=$1 tries=$2; shift 2
  local i; for ((i = 0; i < tries; i++)); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
  say "$what did not become ready; the last lines of each log in $STATE/log:"
  tail -n 3 "$STATE"/log/*.log >&2
  exit 1
}

kc() { in_node "$B/kubectl" --kubeconfig "$KUBECONFIG_FILE" "$@"; }
ctr() { in_node "$B/ctr" -a "$RUN/containerd.sock" -n k8s.io "$@"; }

import() { # what ctr says is shown only when it fails: it warns of cgroup v1 each time
  local said; said=$(ctr images import "$1" 2>&1) || die "cannot import $1: $said"
}

healthy() {
  local component pids; pids=$(node_pids)
  for component in "${COMPONENTS[@]}"; do
    grep -qxF "$(cat "$RUN/$component.pid" 2>/dev/null)" <<<"$pids" || return
  done
  kc --request-timeout=5s get --raw /readyz >/dev/null 2>&1 && kc wait --for=condition=Ready node/node1 --timeout=5s >/dev/null 2>&1
}

# Nothing that an earlier `up` of this name and state did not make is ever removed or reused.
claim() {
  if [[ -d $RUN ]]; then
    [[ $(owner) == "$STATE" ]] || die "cluster '$NAME' belongs to ${RUN}/owner: '$(owner)', not to '$STATE'; set KUBE_RASP_CLUSTER to another name"
    if healthy; then say "'$NAME' is already up"; exit 0; fi
    say "'$NAME' is not healthy: cleaning up what is left of it"
    clean
  fi
  [[ ! -e /run/netns/$NETNS ]] || die "network namespace $NETNS exists and was not made by this script; remove it or set KUBE_RASP_CLUSTER"
  mkdir -p -m 0700 "$RUN"
  echo "$STATE" >"$RUN/owner"
  sysctl -e "${SYSCTLS[@]}" | tr -d ' ' >"$RUN/sysctls"
  local folder; for folder in "${FIXED_FOLDERS[@]}"; do [[ -e $folder ]] || echo "$folder"; done >"$RUN/absent"
  mountpoint -q /run/netns || touch "$RUN/no-netns-mount"
  echo "$CACHE/cluster/$(inputs)/bin" >"$RUN/bin"
  rm -rf "$STATE"
  mkdir -p "$STATE"/{log,data}
}

# A mount namespace for everything that runs: mounts of volumes, images and pod networks end with its last process. It
# is a slave of the machine's, and shared inside, because pods may ask for propagation.
mounts() {
  mkdir -p "${FIXED_FOLDERS[@]}"
  # shellcheck disable=SC2016 # expanded by the inner shell
  start mounts unshare --mount --propagation slave sh -euc '
    run=$1; shift
    mount --make-rshared /
    for folder in "$@"; do mkdir -p "$run/own$folder"; mount -n --bind "$run/own$folder" "$folder"; done
    touch "$run/mounts.ready"
    exec sleep infinity' sh "$RUN" "${FIXED_FOLDERS[@]}"
  until_ok "the mount namespace" 50 test -e "$RUN/mounts.ready"
}

network() {
  ip netns add "$NETNS"
  in_node ip link set lo up
  # A veth pair with a loose end stands for the node's interface: not every kernel has the dummy device.
  in_node ip link add eth0 type veth peer name eth0p
  in_node ip link set eth0p up
  in_node ip address add $NODE_IP/24 dev eth0
  in_node ip address add $NODE_IP6/64 dev eth0 nodad
  in_node ip link set eth0 up
  in_node ip route add default via $NODE_IP
  in_node ip -6 route add default dev eth0
  in_node sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# PodSecurity and both webhook plugins are on by default. The API server reaches Services because it runs on the node.
control_plane() {
  local hk=$B/hyperkube etcd=http://127.0.0.1:2379
  start etcd "$hk" etcd --data-dir "$STATE/data/etcd" --listen-client-urls $etcd --advertise-client-urls $etcd \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
  start apiserver "$hk" kube-apiserver --etcd-servers=$etcd --secure-port=6443 --advertise-address=$NODE_IP --client-ca-file="$P/ca.crt" \
    --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" --service-cluster-ip-range=$SERVICE_CIDR,$SERVICE_CIDR6 \
    --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" --service-account-issuer=https://kubernetes.default.svc \
    --audit-policy-file="$STATE/audit.yaml" --audit-log-path="$STATE/log/audit.log" --audit-log-maxsize=1000 \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --kubelet-client-certificate="$P/apiserver-kubelet.crt" --kubelet-client-key="$P/apiserver-kubelet.key" --kubelet-preferred-address-types=InternalIP
  until_ok "the API server" 300 kc get --raw /readyz
  start kcm "$hk" kube-controller-manager --kubeconfig="$P/kcm.conf" --leader-elect=false --use-service-account-credentials \
    --root-ca-file="$P/ca.crt" --service-account-private-key-file="$P/sa.key" --cluster-signing-cert-file="$P/ca.crt" \
    --cluster-signing-key-file="$P/ca.key" --flex-volume-plugin-dir="$STATE/data/volume-plugins"
  start scheduler "$hk" kube-scheduler --kubeconfig="$P/scheduler.conf" --leader-elect=false
}

node() {
  local hk=$B/hyperkube
  start kube-proxy "$hk" kube-proxy --config "$STATE/kube-proxy.yaml"
  start coredns "$B/coredns" -conf "$STATE/Corefile"
  PATH=$B:$PATH start containerd "$B/containerd" -c "$STATE/containerd.toml" # finds its shim and runc by PATH
  until_ok containerd 150 ctr version
  "$here/../images/image.py" "$STATE/pause.tar" cluster.test/pause:1 '{"Entrypoint": ["/pause"]}' "$B/pause=/pause"
  import "$STATE/pause.tar"
  start kubelet "$hk" kubelet --config="$STATE/kubelet.yaml" --kubeconfig="$P/kubelet.conf" --hostname-override=node1 \
    --node-ip=$NODE_IP,$NODE_IP6 --root-dir="$STATE/data/kubelet"
  until_ok "the node" 300 kc get node/node1 serviceaccount/default
  kc wait --for=condition=Ready node/node1 --timeout=60s >/dev/null || until_ok "the node" 1 false
}

up() {
  require_root; lock; build; B=$(bin_dir); claim; B=$(bin_dir)
  local started=$SECONDS
  pki; configs; network; mounts; control_plane; node
  say "'$NAME' is up after $((SECONDS - started)) s: $(kc version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -1), kubeconfig $KUBECONFIG_FILE (inside network namespace $NETNS)"
}

kill_all() { # no signal but KILL: all state is thrown away, and the API server lingers for a minute after TERM
  local i pids
  for ((i = 0; i < 50; i++)); do
    pids=$(node_pids; pod_pids)
    [[ -z $pids ]] && return
    # shellcheck disable=SC2086 # one argument per pid
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
  die "these processes of cluster '$NAME' do not end: $pids"
}

clean() {
  kill_all # which ends the mounts as well
  pod_cgroups | while read -r group; do rmdir "$group" || true; done
  rmdir /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io 2>/dev/null || true # stays while somebody else has groups in it
  [[ ! -e /run/netns/$NETNS ]] || ip netns del "$NETNS"
  if [[ -e $RUN/no-netns-mount && -z $(ls -A /run/netns) ]]; then umount -n /run/netns && rmdir /run/netns; fi
  if [[ -s $RUN/sysctls ]]; then sysctl -q -e -p "$RUN/sysctls"; fi
  local folder; while read -r folder; do rmdir "$folder" 2>/dev/null || true; done <"$RUN/absent"
  rm -rf "$STATE"
  rm -rf "$RUN" # last of all: until then `down` can be repeated
}

down() {
  require_root; lock
  if [[ ! -d $RUN ]]; then say "'$NAME' is not up"; rm -f "$LOCK"; return; fi
  [[ $(owner) == "$STATE" ]] || die "cluster '$NAME' belongs to '$(owner)', not to '$STATE'; it is left alone"
  if [[ -e /run/netns/$NETNS && $(stat -Lc %i /proc/self/ns/net) == "$(stat -c %i "/run/netns/$NETNS")" ]]; then
    die "this shell is inside cluster '$NAME' and would be ended with it; leave it first"
  fi
  local started=$SECONDS
  clean
  rm -f "$LOCK"
  say "'$NAME' is down after $((SECONDS - started)) s, nothing is left of it"
}
