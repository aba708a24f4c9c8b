#!/usr/bin/env bash
# Unpacks the foreign programs that tests talk to into $LYNX_CACHE/peers, and writes $LYNX_CACHE/peers/env with where
# they are. Nothing is installed into the system: a Debian package is downloaded and unpacked, so no service starts.
# Exits non-zero when a program is not to be had; its tests then say that they were skipped. --benchmarks: also what only
# benchmarks talk to.
set -euo pipefail

cache="${LYNX_CACHE:-$HOME/.cache/lynxstore}"
peers="$cache/peers"
env_file="$peers/env"
mkdir -p "$peers"
: >"$env_file"

# Sets `program` to where the program of a Debian package is; fails when it is not to be had.
find_program() {
  local package=$1
  program="$peers/$package/usr/bin/$package"
  [[ ! -x "$program" ]] || return 0
  if command -v "$package" >/dev/null; then
    program="$(command -v "$package")"
    return 0
  fi
  local scratch
  scratch="$(mktemp -d "$peers/download.XXXXXX")"
  # The packages need nothing but libc to run; their other dependencies are for web pages.
  (cd "$scratch" && apt-get download -qq "$package" </dev/null 2>"$scratch/log") || {
    cat "$scratch/log" >&2
    echo "the Debian package '$package' could not be downloaded" >&2
    rm -rf "$scratch"
    return 1
  }
  mkdir "$scratch/root"
  dpkg -x "$scratch/${package}"_*.deb "$scratch/root"
  rm -rf "${peers:?}/$package"
  mv "$scratch/root" "$peers/$package"
  rm -rf "$scratch"
}

programs=(prometheus)
# Only benches/peers talks to it.
[[ "${1:-}" != "--benchmarks" ]] || programs+=(victoria-metrics)

missing=()
for name in "${programs[@]}"; do
  [[ -x "$peers/$name/usr/bin/$name" ]] || command -v "$name" >/dev/null || missing+=("$name")
done
if [[ ${#missing[@]} -gt 0 ]]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null || echo "apt-get update failed; trying the package lists that are there" >&2
fi

code=0
for name in "${programs[@]}"; do
  if find_program "$name"; then
    "$program" --version 2>&1 | head -n 1
    variable="LYNX_${name^^}"
    printf 'export %s=%q\n' "${variable//-/_}" "$program" >>"$env_file"
  else
    code=1
  fi
done
# The OpenTelemetry SDK with its exporter over HTTP, in a virtual environment of its own.
otel="$peers/otel-venv"
if [[ ! -x "$otel/bin/python" ]] || ! "$otel/bin/python" -c 'import opentelemetry.exporter.otlp.proto.http' 2>/dev/null; then
  if ! { python3 -m venv "$otel" && "$otel/bin/pip" install --quiet \
    "opentelemetry-sdk==1.45.2" "opentelemetry-exporter-otlp-proto-http==1.45.2"; } </dev/null; then
    echo "the OpenTelemetry SDK could not be installed" >&2
    rm -rf "${otel:?}"
  fi
fi
if [[ -x "$otel/bin/python" ]]; then
  printf 'export LYNX_OTEL_PYTHON=%q\n' "$otel/bin/python" >>"$env_file"
else
  code=1
fi
exit "$code"
