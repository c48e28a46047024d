#!/usr/bin/env bash
# run: prompts, tokens, logits, and bits that do not depend on how they were computed.
. "$(dirname "$0")/_lib.sh"
tokens=5,17,3,44,101,7,7,30,2,99,100,12
run=("$gyrator" run -m "$random_model" --tokens $tokens --temp 0 --ignore-eos)

# rows FILE: the number of rows that the npy header states.
rows() { head -c 128 "$1" | grep -ao "'shape': ([0-9]*" | grep -o '[0-9]*$'; }

"${run[@]}" -n 6 --dump-logits "$work/base.npy" >"$work/base.txt"
equal "run" 0 $?
equal "a row for each step" 6 "$(rows "$work/base.npy")"
contains "float32" "'descr': '<f4'" "$(head -c 128 "$work/base.npy" | tr -d '\0')"
"${run[@]}" -n 6 --dump-logits "$work/all.npy" --logits-all >/dev/null
equal "with the prompt: P - 1 + N rows" 17 "$(rows "$work/all.npy")"
vocab=$(head -c 128 "$work/base.npy" | grep -ao "'shape': ([0-9]*, [0-9]*" | grep -o '[0-9]*$')
tail -c $((6 * vocab * 4)) "$work/all.npy" >"$work/last_rows"
tail -c $((6 * vocab * 4)) "$work/base.npy" >"$work/base_rows"
same_file "the last rows are those of the steps" "$work/base_rows" "$work/last_rows"

# --- Equal bits, however computed, in every compute type.
for compute in f32 bf16 int8; do
  base=$work/$compute.npy
  "${run[@]}" -n 6 --compute $compute --dump-logits "$base" --logits-all >/dev/null
  for flags in --no-cache --no-repack "-b 1" "-b 5" "-b 64" "-t 1" "-t 2" "-c 64"; do
    # shellcheck disable=SC2086
    "${run[@]}" -n 6 --compute $compute --dump-logits "$work/other.npy" --logits-all $flags >/dev/null
    same_file "$compute with $flags: equal bits" "$base" "$work/other.npy"
  done
done
base=$work/int8.npy
for isa in ref avx2 avx512 amx; do
  if "${run[@]}" -n 6 --compute int8 --isa $isa --dump-logits "$work/other.npy" --logits-all \
      >/dev/null 2>"$work/err"; then
    same_file "int8 on $isa: equal bits" "$base" "$work/other.npy"
  else
    contains "int8 on $isa: refused where the CPU lacks it" "$isa" "$(cat "$work/err")"
  fi
done
for compute in f32 bf16; do
  differs "$compute is not int8" "$(sha256sum <"$work/$compute.npy")" "$(sha256sum <"$work/int8.npy")"
done

# --- Seeds.
sampled() { "$gyrator" run -m "$random_model" --tokens $tokens --temp 1 -n 20 --ignore-eos --json "$@" | grep -o '"tokens":\[[^]]*'; }
equal "a seed fixes the tokens" "$(sampled --seed 4)" "$(sampled --seed 4)"
differs "another seed, other tokens" "$(sampled --seed 4)" "$(sampled --seed 5)"
equal "greedy needs no seed" "$(sampled --temp 0)" "$(sampled --temp 0)"

# --- What is refused in the middle of a reply begins a line of its own; an output is checked first.
"$gyrator" run -m "$model" -p Hello. -c 256 --temp 0 --ignore-eos -n 200 --kv-budget 160K >"$work/out" 2>"$work/err"
equal "a pool that is full" 6 $?
equal "the words that were said are a line" 1 "$(wc -l <"$work/out")"
exits "no such folder" 3 "$gyrator" run -m "$model" -p x --dump-logits "$work/none/x.npy"
exits "a folder" 2 "$gyrator" run -m "$model" -p x --dump-logits "$work"
mkfifo "$work/fifo"
cat "$work/fifo" >"$work/through" &
exits "a pipe" 0 "$gyrator" run -m "$model" -p x -n 2 --dump-logits "$work/fifo"
wait $!
contains "has the logits" NUMPY "$(head -c 6 "$work/through" | tr -d '\0')"

# --- Templates and raw prompts.
"$gyrator" run -m "$model" --prompt 'Hello.' --temp 0 -n 20 >"$work/templated"
equal "run with a template" 0 $?
printf 'Hello.\n' | "$gyrator" chat -m "$model" --temp 0 -n 20 >"$work/chatted"
same_file "gives the first reply of chat" "$work/chatted" "$work/templated"
ids=$(printf 'Hello' | "$gyrator" tokenize -m "$model" --text-file - | tr -d '[] ')
"$gyrator" run -m "$model" --raw --prompt 'Hello' --temp 0 -n 8 --ignore-eos >"$work/raw"
"$gyrator" run -m "$model" --tokens "$ids" --temp 0 -n 8 --ignore-eos >"$work/ids"
same_file "--raw is the ids of the text and nothing else" "$work/raw" "$work/ids"
json=$("$gyrator" run -m "$model" --prompt 'Hello.' --temp 0 -n 4 --json)
contains "JSON has the text" '{"text":"' "$json"
contains "and why it stopped" '"stop":"' "$json"

# --- A reply that fills the capacity is a reply.
for capacity in 12 13 40; do
  exits "a full session of $capacity" 0 "$gyrator" run -m "$random_model" --tokens $tokens -c $capacity --ignore-eos --json --dump-logits "$work/full.npy"
  contains "ends by its length in $capacity" '"stop":"length"' "$(cat "$work/out")"
  equal "with the logits of each step in $capacity" $((capacity - 12 + 1)) "$(rows "$work/full.npy")"
done
exits "without a limit it is that of the model" 0 "$gyrator" run -m "$model" -p Hello. --temp 0 -c 32 --ignore-eos
differs "and says what was made" "" "$(cat "$work/out")"

# --- Refusals.
exits "no prompt" 2 "$gyrator" run -m "$model"
exits "a token out of range" 2 "$gyrator" run -m "$random_model" --tokens 999999 -n 1
exits "too long a prompt" 6 "$gyrator" run -m "$random_model" --tokens $tokens -c 8 -n 1
contains "names the capacity" "8" "$(cat "$work/err")"
exits "no such folder for logits" 3 "${run[@]}" -n 1 --dump-logits "$work/none/x.npy"
exits "temperature below zero" 2 "$gyrator" run -m "$random_model" --tokens 1 --temp -1
exits "unknown instruction set" 2 "$gyrator" run -m "$random_model" --tokens 1 --isa none
finish
