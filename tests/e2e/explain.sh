#!/usr/bin/env bash
# explain, fork, stats; and the commands of a talk on a terminal.
. "$(dirname "$0")/_lib.sh"
talk() { "$gyrator" chat -m "$model" --temp 0.7 --seed 7 -n 20 --context "$1"; }
# field NAME: its first value in the JSON that came out last.
field() { grep -o "\"$1\":\(\"[^\"]*\"\|[^,}]*\)" "$work/out" | head -n 1 | cut -d: -f2- | tr -d '"'; }
# field_of NAME TEXT
field_of() { grep -o "\"$1\":[^,}]*" <<<"$2" | head -n 1 | cut -d: -f2; }

# --- explain says what the next turn does.
printf 'My name is Ada.\nI live in Oslo.\n' | talk one >/dev/null
exits "explain" 0 "$gyrator" explain --context one -p 'What is my name?' --json
said="$(field own) $(field decode) $(field shared)"
equal "nothing differs" null "$(field divergence)"
same=$("$gyrator" show one --json)
equal "and nothing changes" "$same" "$("$gyrator" show one --json)"
"$gyrator" fork one next >/dev/null
reply=$(printf 'What is my name?\n' | "$gyrator" chat -n 8 --context next --json)
equal "the turn does as was said" "$said" "$(field_of tokens_reused "$reply") $(field_of tokens_decoded "$reply") 0"
exits "as a table" 0 "$gyrator" explain --context one -p Hello
contains "with what is its own" "held by the conversation itself" "$(cat "$work/out")"
exits "raw tokens" 0 "$gyrator" explain --context one --raw -p 'Hello.' --json
equal "are another history" "edited history" "$(field rule)"
exits "without a context" 0 "$gyrator" explain -p 'Hello.' --json
equal "nobody has seen it" "never seen" "$(field rule)"
exits "no message" 2 "$gyrator" explain --context one
exits "no such context" 3 "$gyrator" explain --context none -p x

# --- Flags that do not match are explained, not refused.
exits "another compute type" 0 "$gyrator" explain --context one -p Hello --compute f32 --json
equal "by its rule" "other compute type" "$(field rule)"
contains "by its detail" "compute" "$(field detail)"
equal "nothing can be reused" "0 0" "$(field own) $(field shared)"
exits "another type of keys and values" 0 "$gyrator" explain --context one -p Hello --kv-dtype f16 --json
equal "is one too" "other compute type" "$(field rule)"
cp "$model" "$work/other.gguf"
printf '\x01\x02' | dd of="$work/other.gguf" bs=1 seek=$(($(stat -c %s "$model") - 101)) conv=notrunc status=none
exits "another model" 0 "$gyrator" explain --context one -p Hello -m "$work/other.gguf" --json
equal "by its rule" "other model" "$(field rule)"

# --- fork.
exits "a fork of all is a copy" 0 "$gyrator" fork one copy
same_turns() { "$gyrator" show "$1" --json | grep -o '"transcript":.*'; }
equal "with the same turns" "$(same_turns one)" "$(same_turns copy)"
printf 'What is my name?\n' | talk one >"$work/one"
printf 'What is my name?\n' | talk copy >"$work/copy"
same_file "both talk on alike" "$work/one" "$work/copy"
printf 'My name is Ada.\n' | talk short >/dev/null
exits "a fork of the first messages" 0 "$gyrator" fork one part --messages 2
equal "has those alone" "$(same_turns short | grep -o '"content":"[^"]*"')" "$(same_turns part | grep -o '"content":"[^"]*"')"
printf 'I live in Oslo.\n' | talk part >/dev/null
printf 'I live in Oslo.\n' | talk short >/dev/null
equal "and draws what was drawn then" "$(same_turns short | grep -o '"content":"[^"]*"')" "$(same_turns part | grep -o '"content":"[^"]*"')"
exits "another seed" 0 "$gyrator" fork one seeded --seed 99
contains "is saved" '"rng.seed":"99"' "$("$gyrator" show seeded --json)"
exits "a name that is taken" 2 "$gyrator" fork one copy
exits "too many messages" 2 "$gyrator" fork one many --messages 99
exits "fork of what is not there" 3 "$gyrator" fork none new
exits "forks are whole" 0 "$gyrator" verify seeded

# --- stats: from the files.
exits "stats of all" 0 "$gyrator" stats
contains "a line for each" "seeded" "$(cat "$work/out")"
exits "stats of one" 0 "$gyrator" stats --context one --json
equal "tokens" "$(field_of cp "$("$gyrator" show one --json)")" "$(field tokens)"
equal "bytes are those of the folder" "$(field_of bytes "$("$gyrator" show one --json)")" \
  $(($(field kv_bytes) + $(field other_bytes)))
equal "nothing was evicted" 0 "$(field evicted)"
for ((i = 0; i < 30; i++)); do echo "My number is $i."; done |
  "$gyrator" chat -m "$model" -n 20 --seed 1 -c 192 --context far >/dev/null 2>&1
exits "stats of a long talk" 0 "$gyrator" stats --context far --json
if [[ $(field evicted) -gt 0 ]]; then ok "tell what was evicted"; else fail "tell what was evicted" "$(cat "$work/out")"; fi
exits "stats of what is not there" 3 "$gyrator" stats --context none

# --- A terminal. script(1) makes one.
typed() {  # NAME LINES
  printf "$2/exit\n" | script -qec "'$gyrator' chat -m '$model' --temp 0.7 --seed 7 -n 20 --context '$1'" /dev/null 2>&1 |
    tr -d '\r' | sed 's/\x1b\[[0-9;]*[a-zA-Z]//g'
}
words() { same_turns "$1" | grep -o '"content":"[^"]*"'; }
typed plain 'Hello.\nMy name is Ada.\n' >/dev/null
contains "it is told how many turns are left" "back to 1 turn" \
  "$(typed back 'Hello.\nMy name is Ada.\n/rewind\nMy name is Ada.\n')"
equal "rewind and the same line, the same reply" "$(words plain)" "$(words back)"
typed back2 'Hello.\nMy name is Ada.\n/rewind 2\nHello.\nMy name is Ada.\n' >/dev/null
equal "two turns back as well" "$(words plain)" "$(words back2)"
typed edited 'Hello.\nMy name is Bob.\n/edit My name is Ada.\n' >/dev/null
equal "an edit is as if it had been said so" "$(words plain)" "$(words edited)"
typed edited2 'Hi.\n/edit 1 Hello.\nMy name is Ada.\n' >/dev/null
equal "an edit by number" "$(words plain)" "$(words edited2)"
shown=$(typed forked 'Hello.\n/fork branch\nMy name is Ada.\n/fork branch2 2\n/fork branch\n/rewind 9\n/edit 9 x\n/nope\n')
contains "a fork is told" "saved a fork as 'branch'" "$shown"
contains "a name that is taken is refused" "'branch' exists already" "$shown"
contains "and the talk's own one" "this talk's own" "$(typed own 'Hello.\n/fork own\n')"
contains "too many turns are refused" "this talk has 2 turns, found" "$shown"
contains "so is a line that is not there" "this talk has 2 lines, found" "$shown"
contains "and an unknown command" "no such command: /nope" "$shown"
equal "a fork stands where it was made" "$(words branch)" "$(words branch2)"
printf 'My name is Ada.\n' | talk branch >/dev/null
equal "and goes on alike" "$(words plain)" "$(words branch)"
shown=$(typed looked 'Hello.\n/explain My name is Ada.\n/stats\n/stats prom\n/help\nMy name is Ada.\n')
contains "explain" "held by the conversation itself" "$shown"
contains "stats of the session" "this session" "$shown"
contains "stats for Prometheus" "# TYPE gyrator_" "$shown"
for command in /rewind /edit /fork /explain /stats; do contains "help has $command" "$command" "$shown"; done
equal "looking changes no word" "$(words plain)" "$(words looked)"

# --- A context of another model: which one it was is told, and what to do.
exits "another model" 0 "$gyrator" explain -m "$random_model" --context plain -p x
contains "the context's own is named" "Gyrator Chat" "$(cat "$work/out")"
contains "with the flag that names it" "-m FILE" "$(cat "$work/out")"
finish
