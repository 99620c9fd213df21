#!/usr/bin/env python3
"""debian.py FOLDER PROGRAM...: `FILE=PATH` lines for programs of unpacked Debian packages and all libraries they load.

Nothing is looked up on the machine itself: a library that is not below FOLDER is an error that names the package list
as the place to add it. Called by workloads.sh, whose output image.py takes.
"""
import os
import subprocess
import sys

LIBRARY_FOLDERS = ("lib/{}", "usr/lib/{}", "lib", "usr/lib", "lib64", "usr/lib64")


def needed(path):
    lines = subprocess.run(["readelf", "--dynamic", "--program-headers", "--wide", path], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        if "(NEEDED)" in line:
            yield line.split("[")[1].rstrip("]")
        elif "Requesting program interpreter" in line:
            yield line.split(": ")[1].rstrip("]")


def find(root, library):
    triple = os.uname().machine + "-linux-gnu"
    candidates = [library.lstrip("/")] if library.startswith("/") else [os.path.join(folder.format(triple), library) for folder in LIBRARY_FOLDERS]
    for candidate in candidates:
        path = os.path.join(root, candidate)
        # The interpreter of a package is an absolute link into the root it will be installed in.
        if os.path.islink(path) and os.readlink(path).startswith("/"):
            path = os.path.join(root, os.readlink(path).lstrip("/"))
        if os.path.exists(path):
            return path, "/" + candidate
    sys.exit(f"{library} is in none of the unpacked packages: add its package to the list in workloads.sh")


def main():
    root, *programs = sys.argv[1:]
    files, queue = {}, [(os.path.join(root, program.lstrip("/")), program) for program in programs]
    while queue:
        source, path = queue.pop()
        if path not in files:
            files[path] = source
            queue += [find(root, library) for library in needed(source)]
    for path, source in sorted(files.items()):
        print(f"{source}={path}")


main()
