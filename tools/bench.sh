#!/usr/bin/env bash
# Speed of this machine and of a Llama-3.2-1B-shaped model of random weights, in bf16 and int8. The
# model files (2.5 and 1.3 GB) are made once, in build/bench. Close other programs first.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
for dtype in bf16 q8_0; do
  file=build/bench/llama-3.2-1b.$dtype.gguf
  if [[ ! -f $file ]]; then
    build/bin/make_random_model --shape llama-3.2-1b --dtype $dtype --out "$file.new"
    mv "$file.new" "$file"
  fi
  echo
  env -u OPENBLAS_CORETYPE build/bin/gyrator bench -m "$file" -p 512 -n 32 -d 0,1024 "$@"
done
