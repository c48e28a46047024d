#!/usr/bin/env bash
# SIGKILL and SIGINT during a reply: the next process makes the same words.
. "$(dirname "$0")/_lib.sh"
# Replies without an end, cut at 300 tokens: long enough to be hit in the middle.
chat=("$gyrator" chat -m "$model" --ignore-eos -n 300 -t 1 -c 2048)
first='My name is Ada.'
second='What is my name?'

# begin CONTEXT FLAGS...: a process that has begun to answer; its id in $process.
begin() {
  local context=$1
  shift
  rm -f "$work/in" "$work/partial"
  mkfifo "$work/in"
  "${chat[@]}" "$@" --context "$context" <"$work/in" >"$work/partial" 2>"$work/err" &
  process=$!
  exec 3>"$work/in"
  printf '%s\n' "$first" >&3
  wait_for 30 test -s "$work/partial"
}

for mode in "--temp 0" "--temp 0.9 --seed 11"; do
  read -ra flags <<<"$mode"
  name=kill_${#flags[@]}
  printf '%s\n%s\n' "$first" "$second" | "${chat[@]}" "${flags[@]}" --context "${name}_whole" \
    >"$work/whole"
  caught=0
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    begin "${name}_$attempt" "${flags[@]}"
    kill -KILL $process
    wait $process 2>/dev/null
    exec 3>&-
    if [[ $(wc -l <"$work/partial") == 0 ]]; then caught=1; break; fi
  done
  equal "killed in the middle of a reply ($mode)" 1 $caught
  exits "what lies there is whole ($mode)" 0 "$gyrator" verify "${name}_$attempt"
  printf '%s\n' "$second" | "${chat[@]}" --context "${name}_$attempt" >"$work/resumed" 2>"$work/err"
  equal "resumed ($mode)" 0 $?
  same_file "the interrupted reply and the next, word for word ($mode)" "$work/whole" "$work/resumed"
done

# --- Ctrl-C: the reply is cut, kept, and the exit code says so.
begin stopped --seed 5
kill -INT $process
wait $process
equal "exit code of Ctrl-C" 130 $?
exec 3>&-
exits "the context is whole" 0 "$gyrator" verify stopped
contains "the user's line is in it" "$first" "$("$gyrator" show stopped)"
printf '%s\n' "$second" | "${chat[@]}" --context stopped >"$work/out" 2>"$work/err"
equal "and talks on" 0 $?

# --- Ctrl-C while waiting for a line: saved, 130.
rm -f "$work/in"
mkfifo "$work/in"
"${chat[@]}" --context waiting <"$work/in" >/dev/null 2>&1 &
process=$!
exec 3>"$work/in"
wait_for 10 test -e "$GYRATOR_HOME/locks/waiting"
sleep 0.5
kill -INT $process
wait $process
equal "Ctrl-C while waiting" 130 $?
exec 3>&-
exits "saved on exit" 0 "$gyrator" show waiting

# --- An interrupt while a prompt is read (by scalar code, a row at a time, so that it takes long)
# acts between two passes: the line is owed.
pending() { "$gyrator" show "$1" --json 2>/dev/null | grep -q '"phase":"pending"'; }
long=$(printf 'word %.0s' {1..600})
for signal in INT TERM HUP; do
  mkfifo "$work/$signal"
  "${chat[@]}" --isa ref -b 1 --context "prompt_$signal" <"$work/$signal" >"$work/out" 2>"$work/err" &
  process=$!
  exec 3>"$work/$signal"
  printf '%s\n' "$long" >&3
  wait_for 60 pending "prompt_$signal"
  kill -$signal $process
  wait $process
  equal "SIG$signal while a prompt is read" 130 $?
  exec 3>&-
  equal "no word was made (SIG$signal)" "" "$(cat "$work/out")"
  contains "the line is kept (SIG$signal)" "--drop-owed" "$(cat "$work/err")"
  if pending "prompt_$signal"; then ok "and owed (SIG$signal)"; else fail "and owed (SIG$signal)" "it is not"; fi
done
"${chat[@]}" -n 5 --context prompt_INT </dev/null >"$work/out"
equal "the next start makes the reply" "0 1" "$? $(wc -l <"$work/out")"
# SIGINT; and it is the command itself, no shell on its way to it, whose end would remove $work.
catches() {
  [[ $(readlink "/proc/$1/exe") == */gyrator ]] && grep -q '^SigCgt:.*[2367abef]$' "/proc/$1/status"
}
for ((i = 0; i < 4; i++)); do
  echo '{"messages":[{"role":"user","content":"x"}],"ignore_eos":true,"max_tokens":100000}'
done >"$work/endless"
for command in "run --tokens $(seq -s, 1 900) -b 1 --ignore-eos" "bench -m $random_model -p 400 -r 1000" "batch --in $work/endless"; do
  # shellcheck disable=SC2086
  "$gyrator" $command -t 1 >/dev/null 2>"$work/err" &
  process=$!
  wait_for 60 catches $process
  kill -INT $process
  wait $process
  equal "${command%% *}: interrupted" 130 $?
  contains "${command%% *}: says so" interrupted "$(cat "$work/err")"
done
finish
