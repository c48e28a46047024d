#!/usr/bin/env bash
# Remakes the golden files of tests/golden with the reference packages, and shows what changed.
# Every tools/golden/*.py is run; each states versions and seed in what it writes.
set -euo pipefail
cd "$(dirname "$0")/.."
for script in tools/golden/*.py; do
  case $(basename "$script") in _*) continue ;; esac  # shared code
  echo "== $script"
  .venv/bin/python "$script"
done
git status --short tests/golden
