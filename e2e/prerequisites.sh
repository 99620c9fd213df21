#!/usr/bin/env bash
# Names everything that is missing on this machine, all at once, with the command that installs it.
#   prerequisites.sh build|test|cluster    exit status 1 when something is missing for that
#   prerequisites.sh packages              the Debian packages behind the table, for machines that start empty
set -euo pipefail

GO=1.26.6   # the go.mod files below e2e/cluster ask for it
RUST=1.92   # rust-version in Cargo.toml

# needed for, what is looked for (a program, or a file with its whole path), Debian package
TABLE='
build    cc                              gcc
build    ld                              binutils
build    /usr/include/stdio.h            libc6-dev
cluster  pkg-config                      pkg-config
cluster  /usr/include/seccomp.h          libseccomp-dev
cluster  /usr/lib/cni/bridge             containernetworking-plugins
cluster  nft                             nftables
cluster  ip                              iproute2
cluster  nsenter                         util-linux
cluster  sysctl                          procps
cluster  openssl                         openssl
cluster  python3                         python3
cluster  buildah                         buildah
cluster  dpkg-deb                        dpkg
cluster  readelf                         binutils
cluster  curl                            curl
test     nft                             nftables
test     ip                              iproute2
test     git                             git
test     python3                         python3
test     valgrind                        valgrind
'

packages() { awk 'NF == 3 {print $3}' <<<"$TABLE" | sort -u; }
if [[ ${1:-} == packages ]]; then packages; exit; fi

case ${1:-} in
  build) wanted='build' ;;
  test) wanted='build test cluster' ;;
  cluster) wanted='build cluster' ;;
  *) sed -n 2,4p "$0" >&2; exit 2 ;;
esac

missing=() install=()
older() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1) != "$2" ]]; } # is $1 older than $2

while read -r need what package; do
  [[ -n $need && " $wanted " == *" $need "* ]] || continue
  if [[ $what == /* ]]; then [[ -e $what ]] && continue; else type -P "$what" >/dev/null && continue; fi
  missing+=("$what"); install+=("$package")
done <<<"$TABLE"

hints=()
if [[ ${#install[@]} -gt 0 ]]; then
  hints+=("apt-get update && apt-get install -y --no-install-recommends $(printf '%s\n' "${install[@]}" | sort -u | tr '\n' ' ')")
fi
rust=$(rustc --version 2>/dev/null | awk '{print $2}' || true)
if [[ -z $rust ]] || older "$rust" $RUST; then
  missing+=("rustc $RUST or later"); hints+=("rustup toolchain install stable   # rustup itself: https://rustup.rs")
fi
if [[ $wanted == *test* ]]; then
  for component in clippy rustfmt; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || { missing+=("$component"); hints+=("rustup component add $component"); }
  done
fi
if [[ $wanted == *cluster* ]]; then
  go=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
  if [[ -z $go ]] || { older "$go" $GO && [[ $(go env GOTOOLCHAIN) == local ]]; }; then
    missing+=("go $GO or later"); hints+=("install Go $GO or later   # https://go.dev/dl; Debian's golang is too old")
  fi
  [[ $(id -u) == 0 ]] || { missing+=("root"); hints+=("run make as root: the cluster makes network namespaces, cgroups and mounts"); }
fi

[[ ${#missing[@]} == 0 ]] && exit 0
{ printf 'missing on this machine:'; printf '%s\n' "${missing[@]}" | sort -u | while read -r what; do printf ' %s;' "$what"; done; printf '\n\n'; printf '  %s\n' "${hints[@]}"; } >&2
exit 1
