#!/usr/bin/env bash
# Runs each fuzz target for a bounded time, starting from its seed corpus. Exits with 77 when the toolchain does not
# allow it, with 78 when it found an input that brings a target down, which it prints. The seed corpora are replayed by
# an ordinary test in any case (tests/integration/fuzz_corpus.rs).
#
#   .ci/fuzz.sh [TARGET...]      LYNX_FUZZ_SECONDS=15 is the time per target
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache="${LYNX_CACHE:-$HOME/.cache/lynxstore}"
seconds="${LYNX_FUZZ_SECONDS:-15}"
targets=(wal_record segment_reader remote_write_body line_protocol event_line otlp_body table_body exposition_line sql_text engine_model)
if [[ $# -gt 0 ]]; then
  targets=("$@")
fi

if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "no nightly toolchain: fuzzing is skipped"
  exit 77
fi
cargo_fuzz="$cache/tools/bin/cargo-fuzz"
if ! [[ -x "$cargo_fuzz" ]]; then
  if ! cargo install cargo-fuzz --locked --quiet --root "$cache/tools"; then
    echo "cargo-fuzz could not be installed: fuzzing is skipped"
    exit 77
  fi
fi
"$cargo_fuzz" --version

# Its own target directory: sanitizer flags would throw out every cached build of the workspace.
export CARGO_TARGET_DIR="${LYNX_FUZZ_TARGET_DIR:-$PWD/fuzz/target}"
export PATH="$cache/tools/bin:$PATH"
host="$(rustc -vV | sed -n 's/^host: //p')"
# Debug assertions catch arithmetic overflow in the decoders. The functions that the targets call are compiled by the
# ordinary tests as well: when the build fails here, it is nightly's fault or that of the machine.
if ! timeout "${LYNX_FUZZ_BUILD_SECONDS:-1200}" \
  cargo +nightly fuzz build --release --debug-assertions --codegen-units 16 --target "$host"; then
  echo "the fuzz targets could not be built with $(cargo +nightly --version): fuzzing is skipped"
  exit 77
fi
# Leaks are not what these targets look for, and looking needs rights that a container may not give.
export ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
findings=0
for target in "${targets[@]}"; do
  # What a run finds on top of the seeds stays outside the clone, and is where the next run on this machine goes on.
  found="$cache/fuzz/$target"
  log="$cache/fuzz/$target.log"
  mkdir -p "$found"
  rm -f "$cache/fuzz/$target-"*
  # A commit may take 1 GiB by its own format (COMMIT_RAW_BYTES_MAX), decoded and encoded again.
  if "$CARGO_TARGET_DIR/$host/release/$target" "$found" "fuzz/corpus/$target" -artifact_prefix="$cache/fuzz/$target-" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -malloc_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
    printf '%-18s %s executions in %s s, no finding\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
  else
    findings=$((findings + 1))
    printf '%-18s FINDING\n' "$target"
    tail -n 60 "$log"
    for input in "$cache/fuzz/$target-"*; do
      [[ -f "$input" ]] && printf 'input (base64): %s\n' "$(base64 -w 0 "$input" | head -c 20000)"
    done
  fi
done
[[ "$findings" -eq 0 ]] || exit 78
