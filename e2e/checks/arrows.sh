#!/usr/bin/env bash
# The arrows between crates that docs/architecture.md allows, and what may never be linked below which binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
failures=0
fail() { echo "arrows: $*" >&2; failures=$((failures + 1)); }

# Normal dependencies with exactly the features of a release build: one `-p` at a time, nothing unified.
never_below() { # package, crates
  local package=$1 tree crate; shift
  tree=$(cargo tree --locked --edges normal -p "$package" --prefix none --format '{p}' | awk '{print $1}' | sort -u)
  grep -qx "$package" <<<"$tree" || fail "cargo tree shows nothing for $package"
  for crate in "$@"; do
    if grep -qx "$crate" <<<"$tree"; then
      fail "$package may not depend on $crate: cargo tree --edges normal -p $package --invert $crate"
    fi
  done
}
CLUSTER=(kube kube-client kube-core kube-derive kube-runtime k8s-openapi schemars)
RUNTIME=(tokio hyper hyper-util tracing tracing-subscriber mio socket2)
never_below rasp-policy "${CLUSTER[@]}" "${RUNTIME[@]}"
never_below rasp-engine "${CLUSTER[@]}" "${RUNTIME[@]}"
never_below rasp-proxy "${CLUSTER[@]}"
# One TLS provider, aws-lc-rs: a second one could be the one that is installed.
# (Cargo.lock names ring even where no feature asks for it, so the tree is what counts.)
everything=$(cargo tree --locked --workspace --target all --edges all --prefix none --format '{p}' | awk '{print $1}' | sort -u)
grep -qx aws-lc-rs <<<"$everything" || fail "cargo tree of the workspace does not show aws-lc-rs"
if grep -qx ring <<<"$everything"; then fail "ring is linked: cargo tree --workspace --target all --edges all --invert ring"; fi

cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys

ALLOWED = {  # dependencies for tests count too: what a test may see, its crate may see
    "rasp-policy": set(),
    "rasp-engine": {"rasp-policy"},
    "rasp-behavior": {"rasp-policy", "rasp-engine"},
    "rasp-proxy": {"rasp-policy", "rasp-engine", "rasp-behavior"},
    "rasp-operator": {"rasp-policy", "rasp-engine"},
    "raspctl": {"rasp-policy", "rasp-engine", "rasp-behavior", "rasp-operator"},
    "rasp-e2e": {"rasp-policy"},
    "rasp-bench": set(),  # it sees processes and sockets
    "rasp-score": {"rasp-policy", "rasp-engine"},
}
wrong = []
for package in json.load(sys.stdin)["packages"]:
    inside = {d["name"] for d in package["dependencies"] if d.get("path")}
    allowed = ALLOWED.get(package["name"])
    if allowed is None:
        wrong.append("{} is not in the table of allowed arrows".format(package["name"]))
    else:
        wrong += ["{} -> {} is not an allowed arrow".format(package["name"], name) for name in sorted(inside - allowed)]
for line in wrong:
    print("arrows:", line, file=sys.stderr)
sys.exit(bool(wrong))
' || failures=$((failures + 1))

[[ $failures == 0 ]] || exit 1
echo "arrows: ok"
