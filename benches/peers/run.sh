#!/usr/bin/env bash
# Runs the queries of the Time Series Benchmark Suite on LynxStore, DuckDB and chDB over the same data and compares
# their rows; see docs/benchmarks.md.
#
#   benches/peers/run.sh [OPTIONS]     --help lists them; --hosts, --hours, --floats, --workload, --systems, --only
#   benches/peers/run.sh --smoke       LynxStore alone at tiny scale: no Python package is needed, a few seconds
#
# The peers are Python packages in a virtual environment below $LYNX_CACHE. $LYNX_TSQ names a `tsq` binary; without it,
# one is built in release mode.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${LYNX_CACHE:-$HOME/.cache/lynxstore}"

tsq="${LYNX_TSQ:-}"
if [[ -z "$tsq" ]]; then
  target="${CARGO_TARGET_DIR:-$here/../../target}"
  (cd "$here/../.." && cargo build --release --locked --bin tsq)
  tsq="$target/release/tsq"
fi
tsq="$(realpath "$tsq")"

export PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
if [[ "${1:-}" == "--smoke" ]]; then
  scratch="$(mktemp -d)"
  trap 'rm -rf "$scratch"' EXIT
  python3 -m harness --tsq "$tsq" --dir "$scratch" --hosts 10 --hours 1 --rounds 1 --systems lynxstore,without-rollups
  exit
fi

venv="$cache/bench-venv"
# Versions that the figures of docs/benchmarks.md were taken with.
packages=(duckdb==2.0.0 chdb==4.4.0 pyarrow==26.0.1 numpy)
if ! "$venv/bin/python" -c 'import chdb, duckdb, numpy, pyarrow' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "${packages[@]}"
fi
exec "$venv/bin/python" -m harness --tsq "$tsq" "$@"
