#!/usr/bin/env bash
# Unpacks the foreign programs that tests talk to into $LYNX_CACHE/peers, and writes $LYNX_CACHE/peers/env with where
# they are. Nothing is installed into the system: a Debian package is downloaded and unpacked, so no service starts.
# Exits non-zero when a program is not to be had; its tests then say that they were skipped.
set -euo pipefail

cache="${LYNX_CACHE:-$HOME/.cache/lynxstore}"
peers="$cache/peers"
env_file="$peers/env"
mkdir -p "$peers"
: >"$env_file"

prometheus="$peers/prometheus/usr/bin/prometheus"
if [[ ! -x "$prometheus" ]] && command -v prometheus >/dev/null; then
  prometheus="$(command -v prometheus)"
fi
if [[ ! -x "$prometheus" ]]; then
  scratch="$(mktemp -d "$peers/download.XXXXXX")"
  trap 'rm -rf "$scratch"' EXIT
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null || echo "apt-get update failed; trying the package lists that are there" >&2
  # The package needs nothing but libc to run; its other dependencies are for its web pages.
  (cd "$scratch" && apt-get download -qq prometheus </dev/null 2>"$scratch/log") || {
    cat "$scratch/log" >&2
    echo "the Debian package 'prometheus' could not be downloaded" >&2
    exit 1
  }
  mkdir "$scratch/root"
  dpkg -x "$scratch"/prometheus_*.deb "$scratch/root"
  rm -rf "$peers/prometheus"
  mv "$scratch/root" "$peers/prometheus"
  prometheus="$peers/prometheus/usr/bin/prometheus"
fi
"$prometheus" --version 2>&1 | head -n 1
printf 'export LYNX_PROMETHEUS=%q\n' "$prometheus" >>"$env_file"
