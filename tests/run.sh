#!/usr/bin/env bash
# Runs every test of a build folder and closes with "N passed, N failed".
#
# usage: tests/run.sh BUILD_FOLDER [ctest arguments]
#
# TEST_TIMEOUT: seconds for a test that does not say itself (1200).
#
# A test program counts by what it reports: gtest programs by their XML, end-to-end scripts by their
# .count file ("passed failed"), fuzz replays as one test each. A program that fails without a failed
# test of its own (crash, leak, time-out) counts as one more failure. A .note file says what a test
# could not try on this machine.
set -uo pipefail
build=${1:?usage: tests/run.sh BUILD_FOLDER [ctest arguments]}
shift
build=$(cd "$build" && pwd) || exit 1
results=$build/results
rm -rf "$results"
mkdir -p "$results"

ctest --test-dir "$build" --output-on-failure -j "${JOBS:-$(nproc)}" \
  --timeout "${TEST_TIMEOUT:-1200}" \
  --output-junit "$results/ctest.junit" "$@"

# "name status" of each ctest test.
tests=$(sed -n 's/.*<testcase name="\([^"]*\)".* status="\([^"]*\)".*/\1 \2/p' "$results/ctest.junit")
passed=0
failed=0
while read -r name status; do
  [[ -n $name ]] || continue
  good=0
  bad=0
  if [[ -f $results/$name.xml ]]; then
    read -r total bad < <(sed -n 's/.*<testsuites tests="\([0-9]*\)" failures="\([0-9]*\)".*/\1 \2/p' \
      "$results/$name.xml")
    good=$((total - bad))
  elif [[ -f $results/$name.count ]]; then
    read -r good bad < "$results/$name.count"
  elif [[ $status == run ]]; then
    good=1
  fi
  if [[ $status != run && $bad == 0 ]]; then bad=1; fi
  passed=$((passed + good))
  failed=$((failed + bad))
done <<< "$tests"

if [[ $((passed + failed)) == 0 ]]; then failed=1; fi  # nothing ran: that is no success
if [[ -f $results/kernels_test.xml ]]; then
  lacks=$(sed -n 's/.*name="never_ran_here" value=" *\([^"]*\)".*/\1/p' "$results/kernels_test.xml")
  if [[ -n $lacks ]]; then
    echo "instructions that this CPU lacks: $lacks; their kernels were tested by portable twins alone"
  fi
fi
cat "$results"/*.note 2>/dev/null  # what could not be tried here
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
