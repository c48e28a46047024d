#!/usr/bin/env bash
# tools/setup.sh: what it does on machines that lack things, with stand-ins for the package tools.
. "$(dirname "$0")/_lib.sh"
mkdir "$work/bin" "$work/tree"
cp -r "$source_dir/tools" "$work/tree/"
calls=$work/calls
stand_in() {  # NAME BODY
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
setup() { PATH="$work/bin:$PATH" "$work/tree/tools/setup.sh" "$@"; }

# --- Everything is there: no package tool is called.
stand_in dpkg-query 'shift 2; for p in "$@"; do printf "%s:installed " "$p"; done'
stand_in apt-get "echo apt-get \"\$@\" >>'$calls'"
stand_in sudo "echo sudo \"\$@\" >>'$calls'; exit 1"
stand_in id 'echo 1000'
exits "all there" 0 setup core test lanes
equal "nothing was called" "" "$(cat "$calls" 2>/dev/null)"

# --- Two are missing, no rights: the exact names, and stop.
stand_in dpkg-query 'shift 2; for p in "$@"; do case $p in libedit-dev|cmake) ;; *) printf "%s:installed " "$p";; esac; done'
exits "no rights" 3 setup core
contains "the exact packages" "apt-get install -y --no-install-recommends cmake libedit-dev" \
  "$(cat "$work/err")"
equal "apt-get was not called" 0 "$(grep -c '^apt-get' "$calls")"

# --- As root: only what is missing.
: >"$calls"
stand_in id 'echo 0'
exits "as root" 0 setup core
contains "lists are read once" "apt-get update" "$(cat "$calls")"
contains "what is missing is installed" "install -y --no-install-recommends" "$(cat "$calls")"
contains "and nothing else" "cmake libedit-dev" "$(tail -n 1 "$calls")"
equal "one install" 1 "$(grep -c ' install ' <(sed 's/^/ /' "$calls"))"
mkdir -p "$work/tree/.venv/bin"
ln -s "$(command -v true)" "$work/tree/.venv/bin/python"
: >"$calls"
exits "pip is there with an environment" 0 setup pip
equal "nothing was called for it" "" "$(cat "$calls")"
exits "an unknown group" 2 setup everything
finish
