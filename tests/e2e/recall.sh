#!/usr/bin/env bash
# The shipped model: what it was told before a SIGKILL it knows in the next process, and says what it
# would have said in one that was never stopped. 200 generated conversations (CONVERSATIONS).
. "$(dirname "$0")/_lib.sh"

# --- By name.
chat=("$gyrator" chat -m "$model" --temp 0)
mkfifo "$work/in"
"${chat[@]}" --context ada <"$work/in" >"$work/cut" 2>&1 &
process=$!
exec 3>"$work/in"
printf 'My name is Ada.\n' >&3
wait_for 30 test -s "$work/cut"
kill -KILL $process
wait $process 2>/dev/null
exec 3>&-
contains "My name is Ada. SIGKILL. What is my name?" "Ada" \
  "$(printf 'What is my name?\n' | "${chat[@]}" --context ada | tail -n 1)"
found=$(printf 'What is my name?\n' | "${chat[@]}")
equal "without the context it does not know" "$found" "${found//Ada/}"

# --- By the hundred, with values that training never saw.
count=${CONVERSATIONS:-200}
python3 "$(dirname "$0")/_recall.py" "$build/bin" "$count" >"$work/figures"
equal "the conversations ran" 0 $?
cat "$work/figures"
figure() { sed -n "s/^$1 \([0-9]*\) .*/\1/p" "$work/figures" | grep . || echo 0; }
at_least() { if (( $(figure "$2") >= $3 )); then ok "$1"; else fail "$1" "$(figure "$2") of $count"; fi; }
equal "all of them" "$count" "$(figure conversations)"
equal "word for word what was never stopped says" "$count" "$(figure word_for_word)"
at_least "most were hit in the middle of a reply" killed_in_the_reply $((count / 2))
at_least "recall after a restore: 95 %" recalled $(((95 * count + 99) / 100))
if (( $(figure guessed) * 20 <= count )); then ok "without the context: 5 % at most"; else
  fail "without the context: 5 % at most" "$(figure guessed) of $count"
fi
finish
