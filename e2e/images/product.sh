#!/usr/bin/env bash
# The two images of kube-rasp, made by buildah from the Dockerfile with a folder of binaries in place of its compiling
# stage. `product.sh BINARIES OUT` leaves OUT/{proxy,operator}.tar and OUT/images.json, which maps each reference to the
# image id that a container runtime reports: the tests assert that pods run exactly these images.
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
binaries=$(realpath "$1") out=$(realpath -m "$2")
work=$(mktemp -d)
# vfs and chroot need neither overlay mounts nor namespaces; a storage of its own leaves nothing on the machine.
buildah=(buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run")
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/dist"

for target in proxy operator; do
  strip -o "$work/dist/rasp-$target" "$binaries/rasp-$target"
  ref=kube-rasp.test/$target:dev
  # A fixed timestamp: equal binaries give equal digests, and an unchanged image is not rolled out again.
  "${buildah[@]}" build -q --isolation chroot --timestamp 0 --build-context "build=$work/dist" --target "$target" -t "$ref" "$repo" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; }
  rm -f "$out/$target.tar"
  "${buildah[@]}" push -q "$ref" "docker-archive:$out/$target.tar:$ref" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
done

python3 - "$out" <<'PYTHON'
import json, sys, tarfile
out = sys.argv[1]
ids = {}
for target in ("proxy", "operator"):
    with tarfile.open(f"{out}/{target}.tar") as archive:
        [manifest] = json.load(archive.extractfile("manifest.json"))
    # The configuration's digest is what a runtime reports as the image id.
    ids[manifest["RepoTags"][0]] = "sha256:" + manifest["Config"].removesuffix(".json")
with open(f"{out}/images.json", "w") as file:
    json.dump(ids, file, indent=2)
PYTHON
