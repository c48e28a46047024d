#!/usr/bin/env bash
# Configures and builds the release preset in build/; clients: the tsan preset in build-tsan/.
#
# usage: tools/build.sh command|bench|tests|trainer|clients
#   command  the command alone; keeps the settings of a folder that is configured already
#   bench    the command and what makes its models
#   tests    everything, with the trainer and all test programs
#   trainer  gyrator-train and the command
#   clients  the test of many clients under the thread sanitizer, and nothing else
set -euo pipefail
cd "$(dirname "$0")/.."
# Objects are the same in every clone: let the compiler cache find them there.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

with_trainer() {
  local torch
  torch=$(.venv/bin/python -c 'import torch.utils; print(torch.utils.cmake_prefix_path)')
  cmake --preset release -DGYRATOR_DEV=ON -DGYRATOR_TRAIN=ON -DTorch_DIR="$torch/Torch"
}

quietly() {  # the log is shown when the command fails
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then cat "$log" >&2; rm -f "$log"; exit 1; fi
  rm -f "$log"
}

jobs=${JOBS:-$(nproc)}
case ${1:-} in
  command)
    [[ -f build/build.ninja ]] || quietly cmake --preset release -DGYRATOR_DEV=OFF
    cmake --build build -j "$jobs" --target gyrator >&2
    ;;
  bench)
    quietly cmake --preset release -DGYRATOR_DEV=ON
    cmake --build build -j "$jobs" --target gyrator make_random_model >&2
    ;;
  tests)
    quietly with_trainer
    cmake --build build -j "$jobs" >&2
    ;;
  trainer)
    quietly with_trainer
    cmake --build build -j "$jobs" --target gyrator gyrator-train >&2
    ;;
  clients)
    quietly cmake --preset tsan -DGYRATOR_DEV=ON -DGYRATOR_TRAIN=OFF
    cmake --build build-tsan -j "$jobs" --target clients_test >&2
    ;;
  *) sed -n 2,10p "$0" >&2; exit 2 ;;
esac
