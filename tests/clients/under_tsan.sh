#!/usr/bin/env bash
# The clients of clients_test.cc under the thread sanitizer; builds that program alone, if need be.
#
# usage: tests/clients/under_tsan.sh BUILD_FOLDER SECONDS    (the folder takes the results)
set -euo pipefail
build=$(cd "${1:?usage: $0 BUILD_FOLDER SECONDS}" && pwd)
seconds=${2:?usage: $0 BUILD_FOLDER SECONDS}
cd "$(dirname "$0")/../.."
tools/build.sh clients
TSAN_OPTIONS=halt_on_error=1 exec build-tsan/bin/clients_test --seconds="$seconds" \
  --gtest_output=xml:"$build/results/clients_under_tsan.xml"
