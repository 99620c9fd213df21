#!/usr/bin/env bash
# The committed generated files are what charts/generate.sh writes now. Environment as for that script.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh charts/generate.sh "$work"
mapfile -t files < <(cd "$work" && find . -type f | sort)
[[ ${#files[@]} -gt 0 ]] || { echo "generated: charts/generate.sh wrote nothing" >&2; exit 1; }
stale=0
for file in "${files[@]}"; do
  diff -u "$file" "$work/$file" || { echo "generated: $file is stale" >&2; stale=1; }
  git ls-files --error-unmatch "$file" >/dev/null 2>&1 || { echo "generated: $file is not committed" >&2; stale=1; }
done
[[ $stale == 0 ]] || { echo "generated: run: make generate" >&2; exit 1; }
echo "generated: ${#files[@]} files are up to date"
