#!/usr/bin/env bash
# No line locks a conversation: what refuses a line for good takes it back, what may be otherwise
# next time leaves it owed, and the talk goes on.
. "$(dirname "$0")/_lib.sh"
chat=("$gyrator" chat -m "$model" --temp 0 -c 128)
long=$(printf 'word %.0s' {1..400})
pending() { "$gyrator" show "$1" --json | grep -o '"phase":"[a-z]*"' | cut -d'"' -f4; }
turns() { "$gyrator" show "$1" --json | grep -o '"turns":[0-9]*' | cut -d: -f2; }

# --- Too long, under every policy: said once, nothing is left of it, the lines around it are answered.
for policy in error message fifo sink score; do
  printf 'My name is Ada.\n%s\nWhat is my name?\n' "$long" |
    "${chat[@]}" --overflow $policy --context "long_$policy" >"$work/out" 2>"$work/err"
  equal "the code of the refusal ($policy)" 6 $?
  equal "the other two lines are answered ($policy)" 2 "$(wc -l <"$work/out")"
  contains "with what was said before ($policy)" Ada "$(tail -n 1 "$work/out")"
  equal "it is said once ($policy)" 1 "$(grep -c 'taken back' "$work/err")"
  contains "with the remedy ($policy)" "(-c)" "$(cat "$work/err")"
  equal "nothing is owed ($policy)" "running 2" "$(pending "long_$policy") $(turns "long_$policy")"
done
printf 'What is my name?\n' | "${chat[@]}" --context long_message >"$work/out" 2>"$work/err"
equal "the next process knows nothing of it" 0 $?
equal "and says nothing of it" "" "$(cat "$work/err")"
contains "it goes on" Ada "$(cat "$work/out")"
printf '%s\n' "$long" | "${chat[@]}" --json --context long_message >"$work/out" 2>"$work/err"
equal "in JSON too" 6 $?
contains "by name" '"name":"capacity"' "$(cat "$work/err")"
printf 'My name is Ada.\n%s\n%s\n' "$long" "$long" | "${chat[@]}" >/dev/null 2>"$work/err"
equal "each is told" 2 "$(grep -c 'taken back' "$work/err")"
contains "and how many there were" "2 of 3 lines had no reply" "$(cat "$work/err")"

# --- Bytes that are not UTF-8.
for bytes in 'caf\xe9' '\xff\xfe' 'a\xc3' '\xed\xa0\x80'; do
  printf "$bytes"'\nMy name is Ada.\n' | "${chat[@]}" --context bytes >"$work/out" 2>"$work/err"
  equal "one line is lost by $bytes" "2 1" "$? $(wc -l <"$work/out")"
  contains "which is named ($bytes)" UTF-8 "$(cat "$work/err")"
done
printf '\xff\n%s\nHello.\n' "$long" | "${chat[@]}" >/dev/null 2>"$work/err"
equal "the first refusal has the code" 2 $?

# --- Control characters are text like any other, also where turns have to leave the window.
for ((i = 0; i < 30; i++)); do printf 'My \x02 number \x02%d\x03 is \x01%d \x1b[31m.\n' $i $i; done >"$work/lines"
"${chat[@]}" --context control <"$work/lines" >"$work/out" 2>"$work/err"
equal "thirty lines with control characters" "0 30" "$? $(wc -l <"$work/out")"
equal "are kept" 30 "$(turns control)"
exits "whole" 0 "$gyrator" verify control

# --- The template's refusal, numbers that overflow, and a token that the embedding does not have.
template="{% for m in messages %}{% if 'never' in m['content'] %}{{ raise_exception('not that word') }}{% endif %}"
template+="{{ m['role'] + ': ' + m['content'] + '|' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
python3 "$(dirname "$0")/_model.py" "$random_model" "$work/strict.gguf" template "$template" || exit 1
python3 "$(dirname "$0")/_model.py" "$random_model" "$work/poison.gguf" poison Z || exit 1
python3 "$(dirname "$0")/_model.py" "$random_model" "$work/extra.gguf" extra '<|extra|>' || exit 1
z=$(printf Z | "$gyrator" tokenize -m "$random_model" -f - | tr -d '[]')
for kind in strict poison extra; do
  # The model may not say Z itself.
  flags=(-m "$work/$kind.gguf" --temp 0 -n 4 --ignore-eos -c 192 --compute int8 --logit-bias "$z-inf")
  case $kind in strict) line='a never b' ;; poison) line='a Z b' ;; extra) line='a <|extra|> b' ;; esac
  printf 'one\n%s\ntwo\n' "$line" | "$gyrator" chat "${flags[@]}" --context $kind >"$work/out" 2>"$work/err"
  code=$?
  equal "$kind: the other lines are answered" 2 "$(wc -l <"$work/out")"
  equal "$kind: it is said once" 1 "$(grep -c 'taken back' "$work/err")"
  if [[ $code != 0 && $code != 130 ]]; then ok "$kind: its code"; else fail "$kind: its code" $code; fi
  equal "$kind: nothing is owed" "running 2" "$(pending $kind) $(turns $kind)"
  printf 'one\ntwo\n' | "$gyrator" chat "${flags[@]}" --context ${kind}_without >/dev/null 2>&1
  printf 'three\n' | "$gyrator" chat "${flags[@]}" --context ${kind}_without >"$work/without" 2>/dev/null
  printf 'three\n' | "$gyrator" chat "${flags[@]}" --context $kind >"$work/with" 2>"$work/err"
  equal "$kind: the next process" 0 $?
  same_file "$kind: speaks as if the line had never been" "$work/without" "$work/with"
done
# --- A system prompt that would refuse every line is refused at the start, and nothing is saved.
for prompt in "$(printf "be kind %.0s" {1..400})" "$(printf "a %.0s" {1..900})"; do
  exits "a system prompt that does not fit" 6 "${chat[@]}" --context prompt --system-prompt "$prompt"
  contains "its flag is named" "--system-prompt" "$(cat "$work/err")"
  exits "and no context is begun" 3 "$gyrator" show prompt
done
exits "a system prompt that the template refuses" 2 "$gyrator" chat -m "$work/strict.gguf" --context prompt \
  --system-prompt "never say so"
contains "in the words of the template" "not that word" "$(cat "$work/err")"
exits "which begins no context either" 3 "$gyrator" show prompt

contains "a context that cannot be told" "tokenizer" "$("$gyrator" chat -m "$source_dir/tests/golden/models/llama3" 2>&1 </dev/null)"

# --- Contexts that an earlier version left with a line that it could not answer.
for folder in "$source_dir"/tests/golden/locked/*/; do
  kind=$(basename "$folder")
  exits "$kind: is taken in" 0 "$gyrator" load "$folder" --as "locked_$kind"
  equal "$kind: owes a reply" pending "$(pending "locked_$kind")"
  case $kind in template) used=$work/strict.gguf ;; numbers) used=$work/poison.gguf ;; id) used=$work/extra.gguf ;; *) used=$random_model ;; esac
  before=$(turns "locked_$kind")
  printf 'one\n' | "$gyrator" chat -m "$used" -n 4 --context "locked_$kind" >"$work/out" 2>"$work/err"
  equal "$kind: opens" 0 $?
  equal "$kind: owes nothing" running "$(pending "locked_$kind")"
  if [[ $kind == control ]]; then
    equal "$kind: both lines are answered" "2 $((before + 1))" "$(wc -l <"$work/out") $(turns "locked_$kind")"
  else
    equal "$kind: the line is taken back, the next one answered" "1 $before" "$(wc -l <"$work/out") $(turns "locked_$kind")"
    contains "$kind: and it is said" "taken back" "$(cat "$work/err")"
  fi
  exits "$kind: is whole" 0 "$gyrator" verify "locked_$kind"
done

# --- Variables that would refuse every line are refused at the start, and nothing of them is saved.
tagged="{% if tag is defined %}{{ raise_exception('no tag') }}{% endif %}"
tagged+="{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '|' }}{% endfor %}"
python3 "$(dirname "$0")/_model.py" "$random_model" "$work/tagged.gguf" template "$tagged" || exit 1
tags=("$gyrator" chat -m "$work/tagged.gguf" -n 4 --temp 0 -c 192)
printf 'one\n' | "${tags[@]}" --context tags >/dev/null 2>&1
for name in tags tags_new; do
  printf 'two\n' | "${tags[@]}" --context $name --chat-template-kwargs '{"tag":1}' >"$work/out" 2>"$work/err"
  equal "variables that the template refuses ($name)" 2 $?
  contains "the flag is named ($name)" "--chat-template-kwargs" "$(cat "$work/err")"
done
exits "no context is begun" 3 "$gyrator" show tags_new
printf 'two\n' | "${tags[@]}" --context tags >"$work/out" 2>"$work/err"
equal "and the other one goes on without them" "0 1" "$? $(wc -l <"$work/out")"

# --- The flags of one start take no line away that another start can answer.
printf 'My name is Ada.\n' | "${chat[@]}" -c 512 --context flags >/dev/null
printf 'What is my name? %s\n' "$(printf 'word %.0s' {1..150})" |
  "${chat[@]}" -c 512 --kv-budget 150K --context flags >/dev/null 2>&1
equal "a line that needs more than 128 tokens is owed" pending "$(pending flags)"
exits "a smaller capacity does not answer it" 6 "${chat[@]}" --context flags
contains "the flags are to blame" "with these flags" "$(cat "$work/err")"
equal "it stays owed" pending "$(pending flags)"
exits "without them it is answered" 0 "$gyrator" chat -m "$model" --temp 0 --context flags
equal "and nothing is owed then" running "$(pending flags)"

# --- Only Ctrl-C shortens a reply: whoever ends the process, and a reader that is gone, leave the line owed.
has_bytes() { [[ $(stat -c %s "$1") -ge $2 ]]; }
for size in 2048 256; do  # in the smaller one the window moves before the reply is cut
  long_reply=("$gyrator" chat -m "$model" --temp 0 -c $size --overflow fifo -n 1500 --ignore-eos)
  printf 'Hello.\n' | "${long_reply[@]}" --context whole_$size >"$work/whole" 2>/dev/null
  for signal in TERM HUP; do
    name=cut_${signal}_$size
    printf 'Hello.\n' | "${long_reply[@]}" --context $name >"$work/$name" 2>"$work/err" &
    job=$!
    wait_for 60 has_bytes "$work/$name" 700 || fail "a reply that begins" "none came"
    kill -$signal $job
    wait $job
    equal "SIG$signal ends it ($size)" "130 pending" "$? $(pending $name)"
    "${long_reply[@]}" --context $name </dev/null >"$work/cut" 2>/dev/null
    same_file "and the next start says all of it ($signal, $size)" "$work/whole" "$work/cut"
  done
done
printf 'Hello.\n' | "${long_reply[@]}" --context reader 2>"$work/err" | head -c 5 >/dev/null
equal "a reader that is gone" "pending" "$(pending reader)"
equal "is not told of" "" "$(cat "$work/err")"
"${long_reply[@]}" --context reader </dev/null >"$work/cut" 2>/dev/null
same_file "what it did not read is said again" "$work/whole" "$work/cut"

# --- What drops an owed line stores no variables that would refuse the next one.
printf 'two %s\n' "$(printf 'word %.0s' {1..12})" | "${tags[@]}" --kv-budget 96K --context tags >"$work/out" 2>"$work/err"
equal "a line is owed" pending "$(pending tags)"
exits "variables that refuse it are refused" 2 "${tags[@]}" --context tags --chat-template-kwargs '{"tag":1}'
equal "and it stays owed" pending "$(pending tags)"
exits "dropping it with them is refused too" 2 "${tags[@]}" --context tags --drop-owed --chat-template-kwargs '{"tag":1}'
exits "without them it is not" 0 "${tags[@]}" --context tags --drop-owed
printf 'three\n' | "${tags[@]}" --context tags >"$work/out" 2>"$work/err"
equal "and the talk goes on" "0 1" "$? $(wc -l <"$work/out")"

# --- A budget, a disk and Ctrl-C leave the line owed; it can be dropped.
printf 'My name is Ada.\n' | "${chat[@]}" --context budget >/dev/null
printf 'What is my name? %s\n' "$(printf 'word %.0s' {1..60})" |
  "${chat[@]}" --kv-budget 150K --context budget >"$work/out" 2>"$work/err"
equal "a budget that is too small" 6 $?
contains "the line is kept" "has no reply yet" "$(cat "$work/err")"
contains "and how to drop it is told" "--drop-owed" "$(cat "$work/err")"
equal "it is owed" "pending 2" "$(pending budget) $(turns budget)"
cp -r "$GYRATOR_HOME" "$work/home2"
printf '' | "${chat[@]}" --context budget >"$work/out" 2>"$work/err"
equal "with room the next start answers it" "0 1 running" "$? $(wc -l <"$work/out") $(pending budget)"
printf 'What is my name?\n' | GYRATOR_HOME=$work/home2 "${chat[@]}" --context budget --drop-owed >"$work/out" 2>"$work/err"
equal "or it is dropped" "0 1" "$? $(wc -l <"$work/out")"
contains "which is said" "dropped the line" "$(cat "$work/err")"
contains "and the talk goes on without it" Ada "$(cat "$work/out")"
equal "as if it had never been" 2 "$(GYRATOR_HOME=$work/home2 turns budget)"
exits "nothing to drop" 0 "${chat[@]}" --context budget --drop-owed
contains "is said" "nothing to drop" "$(cat "$work/err")"
exits "dropping needs a context" 2 "${chat[@]}" --drop-owed
finish
