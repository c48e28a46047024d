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

# --- A reply that fills its context ends there; the next line is refused, and what was said is kept.
printf 'Hello.\n' | "$gyrator" chat -m "$model" -c 32 --overflow error --ignore-eos --seed 1 --context full \
  >"$work/out" 2>"$work/err"
equal "a reply ends where the context is full" "0 1" "$? $(grep -c . "$work/out")"
printf 'Hello again.\n' | "$gyrator" chat -m "$model" -c 32 --overflow error --ignore-eos --seed 1 --context full \
  >"$work/out" 2>"$work/err"
equal "over capacity" 6 $?
contains "names capacity" "32" "$(cat "$work/err")"
exits "the context is whole" 0 "$gyrator" verify full

# --- A talk goes on far past its capacity, and says once what left it.
for ((i = 0; i < 40; i++)); do echo "My number is $i."; done >"$work/lines"
for flags in "" "--overflow message --evict-mode recompute" "--overflow fifo" "--overflow sink --keep 2" "--overflow score"; do
  name=past${flags//[^a-z]/}
  # shellcheck disable=SC2086
  "${chat[@]}" -c 192 $flags --context "$name" <"$work/lines" >"$work/out" 2>"$work/err"
  equal "a talk past its capacity ${flags:-by default}" "0 40" "$? $(wc -l <"$work/out")"
  equal "says so once ${flags:-by default}" "1 1" "$(wc -l <"$work/err") $(grep -c ' tokens) left the window' "$work/err")"
  exits "and is whole ${flags:-by default}" 0 "$gyrator" verify "$name"
done
window() { cat "$("$gyrator" show "$1" --json | grep -o '"folder":"[^"]*"' | cut -d'"' -f4)/metadata/window.txt"; }
contains "by default the oldest turns" "overflow: message" "$(window past)"
contains "a policy is saved with what it evicted" "overflow: sink" "$(window pastoverflowsinkkeep)"
contains "and its first tokens" "sinks: 2" "$(window pastoverflowsinkkeep)"
log() { window "$1" | grep -c ^log:; }
before=$(log pastoverflowsinkkeep)
"${chat[@]}" --context pastoverflowsinkkeep <"$work/lines" >"$work/out" 2>"$work/err"
equal "it goes on in a new process" "0 40" "$? $(wc -l <"$work/out")"
equal "and need not say it again" "" "$(cat "$work/err")"
if [[ $(log pastoverflowsinkkeep) -gt $before ]]; then ok "it evicts on"; else fail "it evicts on" "$before"; fi
contains "by the saved policy" "overflow: sink" "$(window pastoverflowsinkkeep)"
"${chat[@]}" --overflow error --context past <"$work/lines" >"$work/out" 2>"$work/err"
equal "a flag has the last word" 6 $?
exits "a policy needs the cache" 2 "${chat[@]}" --no-cache --overflow message
exits "a talk without it needs no flag" 0 "${chat[@]}" --no-cache
exits "an unknown policy" 2 "${chat[@]}" --overflow oldest
long=$(printf 'word %.0s' {1..150})
exits "run: what does not fit is an error" 6 "$gyrator" run -m "$model" -p "$long" -c 96
exits "run: unless something may go" 0 "$gyrator" run -m "$model" --raw -p "$long" -c 96 -n 4 --overflow fifo
finish
