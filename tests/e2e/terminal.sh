#!/usr/bin/env bash
# chat on a terminal: Ctrl-C, owed lines, refusals, and nothing that a terminal would obey.
. "$(dirname "$0")/_lib.sh"
export TERM=xterm NO_COLOR=1
terminal() { python3 "$(dirname "$0")/_terminal.py" "$@"; }
chat=("$gyrator" chat -m "$model" --temp 0 -t 1)
pending() { "$gyrator" show "$1" --json | grep -o '"phase":"[a-z]*"' | cut -d'"' -f4; }
long=$(printf 'a %.0s' {1..1800})  # long enough that a busy machine sees it being read; below a terminal's 4,096 bytes

reads=$'see:\r|'  # the first picture of the spinner: the line is taken, its prompt is being read

# --- Ctrl-C while the prompt is read (row by row, so that it takes long): the line is owed.
printf 'My name is Ada.\n' | "${chat[@]}" --context read >/dev/null
terminal "see:> " "type:$long" "$reads" "key:c" "see:has no reply yet" "type:/owed" "see:without a reply yet: a a" \
  "type:/owed drop" "see:dropped the line" "type:/owed" "see:every line has its reply" \
  "type:What is my name?" "see:Ada" "type:/exit" -- "${chat[@]}" -b 1 --context read >"$work/out" 2>"$work/err"
equal "Ctrl-C while a prompt is read, and the talk goes on" 0 $?
equal "nothing is owed" running "$(pending read)"
terminal "see:> " "type:$long" "$reads" "key:c" "see:has no reply yet" "type:/exit" -- "${chat[@]}" -b 1 --context kept >"$work/out" 2>"$work/err"
equal "left with an owed line" "0 pending" "$? $(pending kept)"
terminal "see:> " "type:/exit" -- "${chat[@]}" --context kept >"$work/out"
equal "the next start answers it" "0 running" "$? $(pending kept)"
terminal "see:> " "type:$long" "$reads" "key:c" "see:has no reply yet" "type:And now?" "see:> " "type:/exit" -- \
  "${chat[@]}" -b 1 --context line >"$work/out"
equal "the next line has it answered first" "0 running" "$? $(pending line)"

# --- Ctrl-C in a reply keeps it; a second one ends the program with a message.
endless=("$gyrator" chat -m "$model" -t 1 --temp 1 --seed 3 --ignore-eos -n 100000)
terminal "see:> " "type:Hello." "see: " "key:c" "see:> " "type:/show" "see:1 turn" "type:/exit" -- "${endless[@]}" >"$work/out"
equal "Ctrl-C in a reply" 0 $?

# --- Refusals on a terminal: told, and the talk goes on.
terminal "see:> " "type:$long" "see:taken back" "type:My name is Ada." "see:Ada" "type:/edit $long" "see:nothing was changed" \
  "type:What is my name?" "see:Ada" "type:/rewind 9" "see:has 2 turns" "type:/exit" -- "${chat[@]}" -c 128 >"$work/out"
equal "refusals on a terminal" 0 $?

# --- Control characters: a random model at a high temperature says every byte.
for command in "run -p x" "chat"; do
  # shellcheck disable=SC2086
  terminal -- sh -c "printf 'x\n' | '$gyrator' $command -m '$random_model' --temp 9 --top-k 0 --top-p 1 --min-p 0 -n 400 -c 512 --ignore-eos --seed 5" >"$work/out"
  equal "$command: random bytes on a terminal" 0 $?
  equal "$command: none of them a control character" 0 "$(tr -d '\r\n\t' <"$work/out" | LC_ALL=C grep -c -a -P '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]')"
done
printf '[{"role":"user","content":"\\u001b[31mred\\u009b31m"}]' >"$work/messages"
terminal -- "$gyrator" template -m "$random_model" --messages "$work/messages" >"$work/out"
contains "a prompt is shown" "[31mred31m" "$(cat "$work/out")"
equal "without its control characters" 0 "$(LC_ALL=C grep -c -a -P '\x1b|\xc2\x9b' "$work/out")"
"$gyrator" template -m "$random_model" --messages "$work/messages" >"$work/out"
equal "elsewhere it is byte for byte" 1 "$(LC_ALL=C grep -c -a -P '\x1b\[31mred\xc2\x9b31m' "$work/out")"
finish
