# Certificates, kubeconfigs and configuration files of one cluster, all below $STATE and $RUN. Sourced by cluster.sh.
# shellcheck shell=bash disable=SC2154

P=$STATE/pki

certificate() { # name, subject, subjectAltName
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$P/$1.key" -out "$P/$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$P/$1.csr" -CA "$P/ca.crt" -CAkey "$P/ca.key" -CAcreateserial -out "$P/$1.crt" -days 30 \
    -extfile <(echo "subjectAltName=$3") 2>/dev/null
}

kubeconfig() { # certificate name, file
  cat >"$2" <<T
apiVersion: v1
kind: Config
clusters: [{name: $NETNS, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: $(base64 -w0 "$P/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$P/$1.crt"), client-key-data: $(base64 -w0 "$P/$1.key")}}]
contexts: [{name: $NETNS, context: {cluster: $NETNS, user: $1}}]
current-context: $NETNS
T
}

pki() {
  mkdir -p "$P"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$P/ca.key" -out "$P/ca.crt" -days 30 -subj /CN=ca 2>/dev/null
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$API_SERVICE_IP,IP:$NODE_IP"
  certificate admin /O=system:masters/CN=admin DNS:admin
  certificate kubelet /O=system:nodes/CN=system:node:node1 "DNS:node1,IP:$NODE_IP"
  certificate kcm /CN=system:kube-controller-manager DNS:kcm
  certificate scheduler /CN=system:kube-scheduler DNS:scheduler
  certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet DNS:apiserver-kubelet
  openssl genrsa -out "$P/sa.key" 2048 2>/dev/null
  openssl rsa -in "$P/sa.key" -pubout -out "$P/sa.pub" 2>/dev/null
  kubeconfig admin "$KUBECONFIG_FILE"
  local user; for user in kubelet kcm scheduler; do kubeconfig $user "$P/$user.conf"; done
}

containerd_config() {
  cat >"$STATE/containerd.toml" <<T
version = 3
root = "$STATE/data/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$RUN/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "cluster.test/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true         # a root without CAP_SYS_RESOURCE may not lower oom_score_adj
  netns_mounts_under_state_dir = true   # /run/netns is the machine's
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$STATE/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
T
  mkdir -p "$STATE/cni"
  cat >"$STATE/cni/10-pods.conflist" <<T
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$RUN/ipam",
    "ranges": [[{"subnet": "$POD_CIDR"}], [{"subnet": "$POD_CIDR6"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
T
}

# syncFrequency: a changed ConfigMap reaches the files of a pod at the next sync of that pod. The default of one minute
# is what users have; the tests wait for dozens of changes and assert what happens then, not how long kubelet takes.
# failCgroupV1, cgroupsPerQOS: kernels that still mount cgroup v1 have to work, and not every machine lets root make
# the whole QoS tree.
kubelet_config() {
  echo "nameserver $NODE_IP" >"$STATE/resolv.conf" # the machine's own search domains would slow down every look-up
  cat >"$STATE/kubelet.yaml" <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
syncFrequency: 2s
clusterDNS: [$NODE_IP]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
containerRuntimeEndpoint: unix://$RUN/containerd.sock
podLogsDir: $STATE/log/pods
volumePluginDir: $STATE/data/volume-plugins
tlsCertFile: $P/kubelet.crt
tlsPrivateKeyFile: $P/kubelet.key
T
}

# What the service account of kube-rasp does, and when its rights came and went (e2e/checks/rights.py). Nothing else: an
# audit of everything would be the largest file of the cluster.
audit_policy() {
  cat >"$STATE/audit.yaml" <<T
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:kube-rasp:kube-rasp-operator"]}
- {level: Metadata, verbs: [create, update, patch, delete], resources: [{group: rbac.authorization.k8s.io}]}
- {level: None}
T
}

configs() {
  containerd_config
  audit_policy
  kubelet_config
  cat >"$STATE/kube-proxy.yaml" <<T
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $KUBECONFIG_FILE}
clusterCIDR: $POD_CIDR,$POD_CIDR6
hostnameOverride: node1
conntrack: {maxPerCore: 0, min: 0}   # conntrack sysctls belong to the machine, not to us
T
  cat >"$STATE/Corefile" <<T
.:53 {
  bind $NODE_IP
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $KUBECONFIG_FILE $NETNS
  }
  cache 5
}
T
}
