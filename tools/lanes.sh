#!/usr/bin/env bash
# The slow lanes: sanitizers, clang's thread-safety analysis, short fuzzing. Closes with a line a lane.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:die_after_fork=0  # tests of fork() make threads in the child
export TEST_TIMEOUT=3600  # a sanitizer makes a test some ten times slower
summary=()
failed=0

# lane NAME BUILD_FOLDER COMMAND...: runs the command and remembers the outcome.
lane() {
  local name=$1
  shift
  echo "== $name"
  if "$@"; then summary+=("ok    $name"); else summary+=("FAIL  $name"); failed=1; fi
}

unit_tests() {  # of one preset, all test programs or those named
  local preset=$1
  shift
  cmake --preset "$preset" -DGYRATOR_TRAIN=OFF >/dev/null || return 1
  if (( $# )); then
    cmake --build --preset "$preset" -j "$jobs" --target "$@" || return 1
    tests/run.sh "build-$preset" -R "^($(IFS='|'; echo "$*"))(_[0-9]+)?\$"
  else
    cmake --build --preset "$preset" -j "$jobs" || return 1
    tests/run.sh "build-$preset" -LE end_to_end -E '^linkage_test$'  # of the release command
  fi
}

# clients PRESET: many clients on one engine, for CLIENTS_SECONDS (600).
clients() {
  cmake --build --preset "$1" -j "$jobs" --target clients_test || return 1
  "build-$1/bin/clients_test" --seconds="${CLIENTS_SECONDS:-600}"
}

lane "clang: address and undefined-behaviour sanitizers, thread-safety analysis" unit_tests clang
lane "thread sanitizer" unit_tests tsan base_test model_test engine_test schedules_test  # kernels on threads, clients
lane "thread sanitizer: many clients" clients tsan
lane "clang: address and undefined-behaviour sanitizers: many clients" clients clang
lane "clang: libFuzzer, ${FUZZ_SECONDS:-20} s a target" env FUZZ_SECONDS="${FUZZ_SECONDS:-20}" tools/fuzz.sh
printf '%s\n' "${summary[@]}"
exit $failed
