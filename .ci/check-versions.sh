#!/usr/bin/env bash
# Two versions of one of these crates in the tree would mean two incompatible sets of array types, and a build that is
# twice as long. Reads the lock file, so that it also covers what only some feature brings in.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0
for name in arrow arrow-array arrow-schema parquet object_store sqlparser datafusion; do
  versions="$(awk -v want="$name" '$1 == "name" { found = $3 == "\"" want "\"" } found && $1 == "version" { gsub("\"", "", $3); print $3 }' Cargo.lock)"
  count="$(printf '%s' "$versions" | grep -c . || true)"
  printf '%-14s %s\n' "$name" "$(printf '%s' "$versions" | tr '\n' ' ')"
  if [[ "$count" -gt 1 ]]; then
    printf 'error: %s stands in the tree in %d versions\n' "$name" "$count" >&2
    cargo tree --workspace --all-features --edges normal --invert "$name" --depth 2 >&2 || true
    failed=1
  fi
done
exit "$failed"
