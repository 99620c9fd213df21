#!/usr/bin/env bash
# Runs make targets one after the other, stops at the first that fails, and ends with the time of each and with the sum
# of what all test runners reported. `stages.sh TARGET...`
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
table='' failed='' total=$SECONDS

for target in "$@"; do
  printf '\n=== %s ===\n' "$target"
  started=$SECONDS
  "${MAKE:-make}" --no-print-directory "$target" 2>&1 | tee -a "$log"
  status=${PIPESTATUS[0]}
  table+=$(printf '%-22s %5d s' "$target" $((SECONDS - started)))$'\n'
  if [[ $status != 0 ]]; then failed=$target; break; fi
done

printf '\n=== results ===\n'
grep -E '^test result: |^     Running |^   Doc-tests ' "$log" || true
printf '\n%s%-22s %5d s\n\n' "$table" total $((SECONDS - total))
awk '/^test result: /{passed += $4; failed += $6; ignored += $8} END {printf "tests: %d passed, %d failed, %d skipped\n", passed, failed, ignored}' "$log"
if [[ -n $failed ]]; then printf 'make %s failed\n' "$failed" >&2; exit 1; fi
