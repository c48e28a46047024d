#!/usr/bin/env bash
# clang-format over every C++ file, in place.
set -euo pipefail
cd "$(dirname "$0")/.."
find include src cli train tests fuzz bench tools -name '*.h' -o -name '*.cc' | sort |
  xargs -r .venv/bin/clang-format -i
