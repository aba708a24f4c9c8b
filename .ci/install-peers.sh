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
# Newer than what Debian 12 has: remote write 2.0, and vmagent, which is part of VictoriaMetrics.
newer=(prometheus victoria-metrics)
newer_suite=forky

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

# Package lists of the newer suite, apart from those of the system, which keeps its own.
newer_apt="$peers/apt"
newer_apt() {
  local command=$1
  shift
  "$command" -qq -o Dir::Etc::sourcelist="$newer_apt/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$newer_apt/lists" -o Dir::Cache="$newer_apt/cache" -o APT::Get::List-Cleanup=0 "$@"
}

# Unpacks a package of the newer suite to its directory below $peers.
find_newer() {
  local package=$1 directory=$2
  [[ ! -x "$peers/$directory/usr/bin/$package" ]] || return 0
  if [[ ! -d "$newer_apt/lists/partial" ]]; then
    mkdir -p "$newer_apt/lists/partial" "$newer_apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $newer_suite main" \
      >"$newer_apt/sources.list"
    newer_apt apt-get update </dev/null || return 1
  fi
  local scratch
  scratch="$(mktemp -d "$peers/download.XXXXXX")"
  (cd "$scratch" && newer_apt apt-get download "$package" </dev/null) || {
    echo "the package '$package' of Debian $newer_suite could not be downloaded" >&2
    rm -rf "$scratch"
    return 1
  }
  mkdir "$scratch/root"
  dpkg -x "$scratch/${package}"_*.deb "$scratch/root"
  rm -rf "${peers:?}/$directory"
  mv "$scratch/root" "$peers/$directory"
  rm -rf "$scratch"
}

for name in "${newer[@]}"; do
  # Beside the one of Debian 12, where there is one.
  [[ "$name" == prometheus ]] && directory=prometheus-new || directory="$name"
  if find_newer "$name" "$directory"; then
    case "$name" in
      prometheus) printf 'export LYNX_PROMETHEUS_NEW=%q\n' "$peers/$directory/usr/bin/prometheus" >>"$env_file" ;;
      victoria-metrics)
        printf 'export LYNX_VICTORIA_METRICS=%q\n' "$peers/$directory/usr/bin/victoria-metrics" >>"$env_file"
        printf 'export LYNX_VMAGENT=%q\n' "$peers/$directory/usr/bin/vmagent" >>"$env_file"
        ;;
    esac
  else
    code=1
  fi
done
exit "$code"
