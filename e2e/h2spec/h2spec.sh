#!/usr/bin/env bash
# The conformance suite h2spec against `rasp-proxy gateway`, in front of an application that speaks HTTP/2 without TLS.
# Both are compiled from Go modules, once for the same inputs. `h2spec.sh BINARY`; fails with any case that fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
proxy=$1
CASES=146 # of version 2.2.1, the last one that is a Go module
CACHE=${KUBE_RASP_CACHE:-$HOME/.cache/kube-rasp}/h2spec

inputs() { (cd "$here" && { go version; cat go.mod go.sum app/main.go; }) | sha256sum | cut -c1-16; }
bin=$CACHE/$(inputs)
if [[ ! -e $bin/complete ]]; then
  part=$bin.part.$$; mkdir -p "$part"
  (cd "$here" && go build -mod=readonly -trimpath -buildvcs=false -o "$part/" ./app github.com/summerwind/h2spec/cmd/h2spec)
  touch "$part/complete"
  rm -rf "$bin"; mv "$part" "$bin"
fi

work=$(mktemp -d) started=()
finish() { kill "${started[@]}" 2>/dev/null || true; wait; rm -rf "$work"; }
trap finish EXIT

# Waits for the first output of a program in a file.
said() { local _; for _ in {1..100}; do grep -m1 -Eo "$2" "$1" && return; sleep 0.1; done; cat "$1" >&2; return 1; }

"$bin/app" >"$work/app" & started+=($!)
upstream=$(said "$work/app" '127[.0-9]+:[0-9]+')
"$proxy" gateway --protocol http2 --listen 127.0.0.1:0 --upstream "$upstream" >"$work/events" 2>"$work/log" & started+=($!)
port=$(said "$work/log" '"listen":"127.0.0.1:[0-9]+' | grep -Eo '[0-9]+$')

# The time is for a machine that is busy with something else; 15 s are usual.
timeout 300 "$bin/h2spec" --strict --timeout 5 --host 127.0.0.1 --port "$port" >"$work/report" 2>&1 || { cat "$work/report"; tail -20 "$work/log"; exit 1; }
summary=$(grep -E '^[0-9]+ tests, ' "$work/report")
echo "h2spec: $summary"
[[ $summary == "$CASES tests, $CASES passed, 0 skipped, 0 failed" ]] || { cat "$work/report"; exit 1; }
