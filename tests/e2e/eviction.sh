#!/usr/bin/env bash
# What eviction costs in perplexity, short: the promise about shifting, 20 times past the capacity.
. "$(dirname "$0")/_lib.sh"
"$build/bin/gyrator-dialogues" --held-out --seed 8 -n 1 --turns 70 --json >"$work/dialogues"
exits "with sinks, shifting costs at most 5 %" 0 "$build/bin/eviction_perplexity" "$model" "$work/dialogues" 96
cat "$work/out"
finish
