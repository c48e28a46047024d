#!/usr/bin/env bash
# save, load, ls, show, verify, rm.
. "$(dirname "$0")/_lib.sh"
talk() { "$gyrator" chat -m "$model" --temp 0.7 --seed 7 -n 30 --context "$1"; }

exits "ls of nothing" 0 "$gyrator" ls
equal "ls of nothing in JSON" "[]" "$("$gyrator" ls --json)"
exits "show of what is not there" 3 "$gyrator" show none
exits "verify of what is not there" 3 "$gyrator" verify none
exits "rm of what is not there" 3 "$gyrator" rm none
exits "save of what is not there" 3 "$gyrator" save none

printf 'My name is Ada.\n' | talk one >/dev/null
contains "ls shows it" "one" "$("$gyrator" ls)"
contains "show: the words" "My name is Ada." "$("$gyrator" show one)"
contains "show: cp" '"cp":' "$("$gyrator" show one --json)"
exits "verify" 0 "$gyrator" verify one
contains "verify says what" "ok " "$(cat "$work/out")"
contains "verify in JSON" '"ok":true' "$("$gyrator" verify one --json)"
equal "one folder for one name" 1 "$("$gyrator" ls --json | grep -o '"stamp"' | wc -l)"
printf 'I live in Paris.\n' | talk one >/dev/null
equal "the folder before goes after" 1 "$("$gyrator" ls --json | grep -o '"stamp"' | wc -l)"

# --- A copy elsewhere and back is the same conversation.
copy=$("$gyrator" save one --to "$work/away")
equal "save --to names the copy" "$work/away" "$(dirname "$copy")"
exits "verify by path" 0 "$gyrator" verify "$copy"
exits "load" 0 "$gyrator" load "$copy" --as two
printf 'What is my name?\n' | talk one >"$work/one"
printf 'What is my name?\n' | talk two >"$work/two"
same_file "both talk on alike" "$work/one" "$work/two"
kept=$("$gyrator" save one)
exits "save without --to keeps a copy among the contexts" 0 "$gyrator" verify "$kept"
printf 'Hello.\n' | talk one >/dev/null
exits "which stays when the name goes on" 0 "$gyrator" verify "$kept"

# --- Damage is found and named; nothing else changes.
cp -r "$copy" "$work/bad"
file=$work/bad/past_key_values/0_key.npy
printf '\x5a' | dd of="$file" bs=1 seek=200 conv=notrunc status=none
exits "a flipped byte" 4 "$gyrator" verify "$work/bad"
contains "is named" "past_key_values/0_key.npy" "$(cat "$work/err")"
exits "and does not load" 4 "$gyrator" load "$work/bad" --as three
rm "$work/bad/chat.json"
exits "a missing file" 4 "$gyrator" verify "$work/bad"
exits "no context at all" 3 "$gyrator" verify "$source_dir/docs"
exits "the old one is whole" 0 "$gyrator" verify two

# --- Another model is refused, by name.
exits "another model" 5 "$gyrator" chat -m "$random_model" --context two
exits "the context is as it was" 0 "$gyrator" verify two
printf 'Hello.\n' | "$gyrator" chat -m "$model" --compute f32 --context two >/dev/null 2>"$work/err"
equal "another compute type" 5 $?

# --- Bare folders of the first format.
cp -r "$copy" "$work/bare"
rm -r "$work/bare/chat.json" "$work/bare/logits.npy" "$work/bare/metadata/manifest.txt" \
  "$work/bare/metadata/protocol.txt" "$work/bare/metadata/session.txt"
"$gyrator" load "$work/bare" --as bare >"$work/out" 2>"$work/err"
equal "a bare folder loads" 0 $?
contains "and says so" "opaque-prefix" "$(cat "$work/err")"
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 8 --context bare >"$work/out" 2>"$work/err"
equal "and talks on" "0 1" "$? $(wc -l <"$work/out")"
contains "and says so again" "opaque" "$(cat "$work/err")"

# --- rm.
exits "rm" 0 "$gyrator" rm two bare
exits "is gone" 3 "$gyrator" show two
contains "the other stays" '"name":"one"' "$("$gyrator" ls --json)"
equal "rm in JSON" '{"removed":["one"]}' "$("$gyrator" rm one --json)"
finish
