#!/usr/bin/env python3
"""image.py OUT.tar REF JSON SOURCE=PATH...: a docker-archive image with one layer, made of a few files, without any builder.

JSON is the image configuration as the OCI specification spells it ({"Entrypoint": [...], "User": "..."}). SOURCE is
a file, `link:TARGET` or `dir:MODE`. Bytes depend on the arguments and the files alone: no time, owner or host name
goes in, so equal inputs give equal digests.
"""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def entry(name, kind, mode):
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    return info


def parents(path):
    parts = path.split("/")[:-1]
    return ["/".join(parts[:i + 1]) for i in range(len(parts))]


def layer(files):
    buffer, made = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for source, path in sorted(files, key=lambda pair: pair[1]):
            path = path.lstrip("/")
            for folder in parents(path):
                if folder not in made:
                    made.add(folder)
                    tar.addfile(entry(folder, tarfile.DIRTYPE, 0o755))
            if source.startswith("link:"):
                info = entry(path, tarfile.SYMTYPE, 0o777)
                info.linkname = source.removeprefix("link:")
                tar.addfile(info)
                continue
            if source.startswith("dir:"):
                made.add(path)
                tar.addfile(entry(path, tarfile.DIRTYPE, int(source.removeprefix("dir:"), 8)))
                continue
            # Follows links: Debian's libraries are links to versioned files, and a link alone would dangle.
            with open(source, "rb") as content:
                info = entry(path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644)
                info.size = os.fstat(content.fileno()).st_size
                tar.addfile(info, content)
    return buffer.getvalue()


def main():
    out, ref, config, *pairs = sys.argv[1:]
    blob = layer([tuple(pair.split("=", 1)) for pair in pairs])
    image = json.dumps({
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": json.loads(config),
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(blob).hexdigest()]},
    }).encode()
    name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [ref], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out + ".part", "w") as tar:
        for member, content in ((name, image), ("layer.tar", blob), ("manifest.json", manifest)):
            info = entry(member, tarfile.REGTYPE, 0o644)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    os.replace(out + ".part", out)


main()
