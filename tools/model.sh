#!/usr/bin/env bash
# Remakes the shipped model, its card and its loss curve; resumes where it was killed. By its rate
# (docs/training.md) about an hour on 2 cores with AMX, longer without. STEPS and DECAY_STEPS change
# the length of the run, OUT its folder.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-build/train}
train=build/bin/gyrator-train
mkdir -p "$out"
[[ -f $out/tokenizer.json ]] || "$train" tokenizer --out "$out"
flags=(--out "$out" --resume)
[[ -z ${STEPS:-} ]] || flags+=(--steps "$STEPS")
[[ -z ${DECAY_STEPS:-} ]] || flags+=(--decay-steps "$DECAY_STEPS")
"$train" train "${flags[@]}"
"$train" eval --out "$out"
"$train" export --out "$out" --gguf models/gyrator-chat.gguf
"$train" card --out "$out" --to models ${DECAY_STEPS:+--decay-steps "$DECAY_STEPS"}
