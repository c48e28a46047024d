#!/usr/bin/env bash
# chat in a pipe: what it prints, what it saves, what a resumed one gives.
. "$(dirname "$0")/_lib.sh"
chat=("$gyrator" chat -m "$model" --temp 0.7 --seed 7 -n 40)

# --- A pipe carries the replies alone, one a line.
printf 'Hello.\nMy name is Ada.\r\n\nWhat is my name?' | "${chat[@]}" >"$work/plain" 2>"$work/err"
equal "exit code of a talk" 0 $?
equal "three turns, three lines" 3 "$(wc -l <"$work/plain")"
equal "nothing on standard error" "" "$(cat "$work/err")"
equal "no context, nothing saved" "" "$(ls "$GYRATOR_HOME/contexts" 2>/dev/null)"
printf '' | "${chat[@]}" >"$work/none"
equal "no line, no reply" "0 0" "$? $(wc -c <"$work/none")"

printf '/help\n' | "${chat[@]}" >"$work/slash"
equal "in a pipe a slash begins a turn" 1 "$(wc -l <"$work/slash")"

# --- A context talks on where it was, word for word.
printf 'Hello.\nMy name is Ada.\nWhat is my name?\n' | "${chat[@]}" --context whole >"$work/whole"
same_file "a context changes no word" "$work/plain" "$work/whole"
for line in 'Hello.' 'My name is Ada.' 'What is my name?'; do
  printf '%s\n' "$line" | "${chat[@]}" --context parts >>"$work/parts"
done
same_file "a process for each turn gives the same words" "$work/whole" "$work/parts"
same_turns() { "$gyrator" show "$1" --json | grep -o '"transcript":.*'; }
equal "and the same context" "$(same_turns whole)" "$(same_turns parts)"

# --- What was saved holds, what is given replaces it.
sampler() { "$gyrator" show "$1" --json | grep -o '"session":{[^}]*}' | grep -o '"sampler[^,]*'; }
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 8 --seed 3 --top-k 5 --context flags >/dev/null
before=$(sampler flags)
contains "the sampler is saved" '"sampler.top_k":"5"' "$before"
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 8 --context flags >/dev/null
equal "a resume without flags keeps it" "$before" "$(sampler flags)"
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 8 --top-k 9 --context flags >/dev/null
equal "a flag replaces its field alone" "${before//top_k\":\"5/top_k\":\"9}" "$(sampler flags)"

# --- JSON: one object a reply.
printf 'Hello.\nMy name is Ada.\n' | "${chat[@]}" --json >"$work/json"
equal "one object a reply" 2 "$(grep -c '^{"reply":".*"capacity":[0-9]*}$' "$work/json")"

# --- Two processes in one context: refused, by name.
mkfifo "$work/in"
"$gyrator" chat -m "$model" --context busy <"$work/in" >/dev/null 2>&1 &
holder=$!
exec 3>"$work/in"
wait_for 10 test -e "$GYRATOR_HOME/locks/busy"
sleep 0.2
exits "a second process in a context" 8 "$gyrator" chat -m "$model" --context busy
contains "is told so" "in use" "$(cat "$work/err")"
exec 3>&-
wait $holder
equal "the first one ends well" 0 $?

# --- Names stay in their folder.
for name in ../x a/b .hidden; do
  exits "context name $name" 2 "$gyrator" chat -m "$model" --context "$name"
done

# --- A full context says so and keeps what was said.
printf 'Hello.\n' | "$gyrator" chat -m "$model" -c 32 --ignore-eos --seed 1 --context full \
  >"$work/out" 2>"$work/err"
equal "over capacity" 6 $?
contains "names capacity" "32" "$(cat "$work/err")"
exits "the context is whole" 0 "$gyrator" verify full
finish
