#!/usr/bin/env bash
# Compares the answers of testdata/slt with those of DuckDB; see docs/testing.md.
#
#   .ci/check-answers.sh [OPTIONS] [FILE...]     --help lists them
#
# DuckDB is a Python package in a virtual environment below $LYNX_CACHE: that of benches/peers when it is there, else one of
# its own. Exits with 77 when there is none and none can be installed.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${LYNX_CACHE:-$HOME/.cache/lynxstore}"
version=2.0.0

has_duckdb() {
  "$1/bin/python" -c "import duckdb, sys; sys.exit(duckdb.__version__ != '$version')" 2>/dev/null
}

venv="$cache/bench-venv"
if ! has_duckdb "$venv"; then
  venv="$cache/answers-venv"
fi
if ! has_duckdb "$venv"; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "duckdb==$version"; } </dev/null; then
    echo "DuckDB $version could not be installed" >&2
    exit 77
  fi
fi
export PYTHONPATH="$here/../tests" PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m answers "$@"
