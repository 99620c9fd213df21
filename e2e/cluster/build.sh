# Compiles every program of the cluster from Go modules. Versions are pinned by the go.mod and go.sum files beside this
# script (and nowhere else), and `-mod=readonly` refuses to build anything that differs from them. Sourced by cluster.sh.
# shellcheck shell=bash disable=SC2154

PROGRAMS=( # module folder, package
  "containerd github.com/containerd/containerd/v2/cmd/containerd"
  "containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
  "containerd github.com/containerd/containerd/v2/cmd/ctr"
  "runc github.com/opencontainers/runc"
  "coredns github.com/coredns/coredns"
  "helm helm.sh/helm/v4/cmd/helm"
  "kubeconform github.com/yannh/kubeconform/cmd/kubeconform"
)

compile() { # module folder, go build arguments
  local started=$SECONDS; (cd "$here/$1" && shift && go build -mod=readonly -trimpath -buildvcs=false "$@") || die "go build failed in $1"
  say "built ${*: -1} in $((SECONDS - started)) s"
}

# Without the stamp, clients and kubelet see v0.0.0 and refuse to work with each other.
kubernetes_stamp() {
  local version minor; version=$(cd "$here/hyperkube" && go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}; minor=${minor%%.*}
  local package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' "$package" "$version" "$package" "$package" "$minor"
  done
}

build() {
  local bin=$CACHE/cluster; bin+=/$(inputs)/bin
  [[ -e $bin/complete ]] && return
  mkdir -p "$CACHE/cluster"
  exec 8>"$CACHE/cluster/lock"
  flock 8 # a second build waits, then finds the result
  [[ -e $bin/complete ]] && return
  say "building into $bin (about 14 minutes with empty caches, under 2 with warm ones)"
  local part=$bin.part; rm -rf "$part"; mkdir -p "$part"
  compile hyperkube -ldflags "-s -w $(kubernetes_stamp)" -o "$part/hyperkube" .
  ln -s hyperkube "$part/kubectl"
  local program
  for program in "${PROGRAMS[@]}"; do
    # The tag only matters to runc: without it RuntimeDefault seccomp profiles are refused.
    compile "tools/${program%% *}" -tags seccomp -ldflags "-s -w" -o "$part/" "${program##* }"
  done
  gcc -static -O2 -Wall -Werror -s -o "$part/pause" "$here/pause.c"
  touch "$part/complete"
  rm -rf "$bin"; mv "$part" "$bin"
  prune
}

# Half a gigabyte each: the three newest are kept, and what a running cluster uses.
prune() {
  local old; find "$CACHE/cluster" -mindepth 2 -maxdepth 2 -name bin -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2 |
    while read -r old; do grep -qsxF "$old" /run/kube-rasp-*/bin || rm -rf "${old%/bin}"; done
}
