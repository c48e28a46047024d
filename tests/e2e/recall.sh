#!/usr/bin/env bash
# The shipped model: what it was told before a SIGKILL, it knows in the next process.
. "$(dirname "$0")/_lib.sh"
chat=("$gyrator" chat --temp 0)

for pair in 'My name is Ada.|What is my name?|Ada' 'My name is Tomuri.|What is my name?|Tomuri'; do
  IFS='|' read -r told asked answer <<<"$pair"
  rm -f "$work/in"
  mkfifo "$work/in"
  "${chat[@]}" --context "$answer" <"$work/in" >"$work/cut" 2>&1 &
  process=$!
  exec 3>"$work/in"
  printf '%s\n' "$told" >&3
  # The line is durable once the context has a name; the reply is being made.
  named() { "$gyrator" show "$answer" >/dev/null 2>&1; }
  wait_for 30 named
  kill -KILL $process
  wait $process 2>/dev/null
  exec 3>&-
  found=$(printf '%s\n' "$asked" | "${chat[@]}" --context "$answer" | tail -n 1)
  contains "after a kill: $told $asked" "$answer" "$found"
  found=$(printf '%s\n' "$asked" | "${chat[@]}")
  if [[ $found == *"$answer"* ]]; then fail "without the context" "it says $answer"; else ok "without the context it does not know $answer"; fi
done
finish
