#!/usr/bin/env bash
# Fuzzes every target of fuzz/ with libFuzzer for FUZZ_SECONDS (300) each, or the targets named.
# New inputs stay in build-clang/corpus; an input that fails is left in build-clang/crashes.
#
# usage: tools/fuzz.sh [TARGET...]    e.g. tools/fuzz.sh npy gguf
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-300}
if (( $# )); then
  targets=("$@")
else
  targets=()
  for source in fuzz/*_fuzz.cc; do targets+=("$(basename "$source" _fuzz.cc)"); done
fi
cmake --preset clang -DGYRATOR_TRAIN=OFF >/dev/null || exit 1
cmake --build --preset clang -j "${JOBS:-$(nproc)}" --target "${targets[@]/%/_fuzz}" || exit 1

crashes=build-clang/crashes
mkdir -p "$crashes"
failed=0
for target in "${targets[@]}"; do
  found=build-clang/corpus/$target
  mkdir -p "$found"
  log=$found.log
  if "build-clang/bin/${target}_fuzz" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix="$crashes/$target-" "$found" "fuzz/corpus/$target" \
      >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "ok    $target: $seconds s, ${runs:-0} inputs"
  else
    echo "FAIL  $target: see $log"
    tail -n 30 "$log"
    failed=1
  fi
done
exit $failed
