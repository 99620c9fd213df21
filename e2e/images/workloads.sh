#!/usr/bin/env bash
# Images of ordinary servers for the tests and the demo, made of the files of Debian packages: nothing is installed on
# this machine, no base image is pulled. `workloads.sh OUT` leaves OUT/{nginx,busybox,prometheus}.tar; what was made
# before of the same package versions and the same files here is taken from the cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
cache=${KUBE_RASP_CACHE:-$HOME/.cache/kube-rasp}/workloads
PACKAGES=(busybox-static libc6 libcrypt1 libnginx-mod-http-echo libpcre2-8-0 libssl3 nginx prometheus zlib1g)

# Names, versions and hashes as apt knows them: the key of the cache, and no download.
uris=$(cd / && apt-get download --print-uris "${PACKAGES[@]}" 2>&1) || true
[[ $(grep -c "^'" <<<"$uris") == "${#PACKAGES[@]}" ]] || {
  printf 'workloads: apt does not know these packages: %s\n%s\nrun: apt-get update\n' "${PACKAGES[*]}" "$uris" >&2
  exit 1
}
key=$({ sort <<<"$uris"; cd "$here"; cat workloads.sh image.py debian.py nginx/*; } | sha256sum | cut -c1-16)
done=$cache/$key

unpack() {
  local work=$1
  mkdir -p "$work/debs" "$work/root"
  (cd "$work/debs" && apt-get download -qq -o APT::Sandbox::User=root "${PACKAGES[@]}")
  local deb; for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
}

image() { # name, configuration, then as image.py
  local name=$1 config=$2; shift 2
  "$here/image.py" "$images/$name.tar" "kube-rasp.test/$name:1" "$config" "$@"
}

make_images() {
  local root=$1 images=$2 applet files
  local busybox=("$root/bin/busybox=/bin/busybox" dir:1777=/tmp)
  for applet in $("$root/bin/busybox" --list); do [[ $applet == busybox ]] || busybox+=("link:busybox=/bin/$applet"); done
  image busybox '{"Env": ["PATH=/bin"]}' "${busybox[@]}"

  # 1 MiB that does not compress and is the same on every machine.
  openssl enc -aes-128-ctr -K 00 -iv 00 -nosalt -in <(head -c 1048576 /dev/zero) -out "$root/big.bin" 2>/dev/null
  mapfile -t files < <("$here/debian.py" "$root" /usr/sbin/nginx /usr/lib/nginx/modules/ngx_http_echo_module.so)
  image nginx '{"Entrypoint": ["/start"], "StopSignal": "SIGQUIT", "User": "101:101", "Env": ["PATH=/usr/sbin:/bin"], "ExposedPorts": {"8080/tcp": {}}}' "${files[@]}" \
    "$root/bin/busybox=/bin/busybox" link:busybox=/bin/sh "$here/nginx/start=/start" \
    "$here/nginx/nginx.conf=/etc/nginx/nginx.conf" "$here/nginx/index.html=/srv/index.html" "$root/big.bin=/srv/big.bin" dir:1777=/tmp \
    dir:0755=/var/log/nginx

  mapfile -t files < <("$here/debian.py" "$root" /usr/bin/prometheus)
  image prometheus '{"Entrypoint": ["/usr/bin/prometheus"], "User": "65534:65534"}' "${files[@]}" dir:1777=/tmp
}

if [[ ! -d $done ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  unpack "$work"
  mkdir -p "$work/images" "$cache"
  make_images "$work/root" "$work/images"
  [[ $(find "$work/images" -name '*.tar' | wc -l) == 3 ]]
  rm -rf "$done.part" && cp -r "$work/images" "$done.part" && mv "$done.part" "$done"
fi
mkdir -p "$out"
cp "$done"/*.tar "$out/"
