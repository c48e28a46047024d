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
rm -r "$work/bare/chat.json" "$work/bare/logits.npy" "$work/bare/metadata/manifest.txt" "$work/bare/metadata/window.txt" \
  "$work/bare/metadata/protocol.txt" "$work/bare/metadata/session.txt"
"$gyrator" load "$work/bare" --as bare >"$work/out" 2>"$work/err"
equal "a bare folder loads" 0 $?
contains "and says so" "opaque-prefix" "$(cat "$work/err")"
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 8 --context bare >"$work/out" 2>"$work/err"
equal "and talks on" "0 1" "$? $(wc -l <"$work/out")"
contains "and says so again" "opaque" "$(cat "$work/err")"

# --- load and fork replace nothing.
before=$("$gyrator" show one --json)
exits "load over a context" 2 "$gyrator" load "$copy" --as one
contains "says that it would be lost" "would be lost" "$(cat "$work/err")"
exits "fork over a context" 2 "$gyrator" fork two one
exits "fork of its first messages over one" 2 "$gyrator" fork two one --messages 1
equal "the context is as it was" "$before" "$("$gyrator" show one --json)"

# --- What can be taken in can be opened: a folder whose digests are right and whose state is not.
rehash() {  # FOLDER: its manifest says what its files are
  (
    cd "$1" || exit 1
    rm metadata/manifest.txt
    find . -type f -printf '%P\n' | LC_ALL=C sort | while read -r path; do
      printf '%s %s %s\n' "$(sha256sum "$path" | cut -d' ' -f1)" "$(stat -c %s "$path")" "$path"
    done >"$work/manifest"
    printf 'root %s\n' "$(sha256sum "$work/manifest" | cut -d' ' -f1)" >>"$work/manifest"
    mv "$work/manifest" metadata/manifest.txt
  )
}
cp -r "$copy" "$work/odd"
rehash "$work/odd"
exits "with digests made anew" 0 "$gyrator" verify "$work/odd"
for change in 's/^sampler.temperature: .*/sampler.temperature: nan/' 's/^rng.seed: .*/rng.seed: -1/' \
  's/^rng.draws_at: .*/rng.draws_at: [1,2/' 's/^opaque_prefix: .*/opaque_prefix: 99999/' \
  's/^sampler.top_p: .*/sampler.top_p: 7/'; do
  rm -rf "$work/odd"
  cp -r "$copy" "$work/odd"
  sed -i "$change" "$work/odd/metadata/session.txt"
  rehash "$work/odd"
  exits "verify refuses $change" 4 "$gyrator" verify "$work/odd"
  exits "and so does load" 4 "$gyrator" load "$work/odd" --as odd
done
exits "nothing of it is there" 3 "$gyrator" show odd

# --- A name is a name, whatever lies in the working directory.
mkdir -p "$work/cwd/notes"
cp -r "$copy" "$work/cwd/fresh"
here() { env -C "$work/cwd" "$gyrator" "$@"; }
printf 'Hello.\n' | here chat -m "$model" -n 4 --context notes >/dev/null 2>"$work/err"
equal "a context with the name of a folder here" 0 $?
printf 'What is my name?\n' | here chat -m "$model" -n 20 --temp 0 --context fresh >"$work/out" 2>"$work/err"
equal "and one with that of a saved folder begins anew" 0 "$(grep -c Ada "$work/out")"
exits "a folder here is a path" 0 here verify ./fresh
exits "the context goes" 0 here rm fresh
exits "and the folder is not taken for it" 3 here show fresh
contains "the message says how to name it" "./fresh" "$(cat "$work/err")"
exits "a folder of saved folders" 3 "$gyrator" load "$work/away" --as away
contains "is told from one" "$(basename "$copy")" "$(cat "$work/err")"

# --- One damaged name harms that name alone.
for damage in ': >NAME' 'echo garbage >NAME' 'mkdir NAME' 'ln -s nowhere NAME'; do
  rm -rf "$GYRATOR_HOME/contexts/names/broken"
  eval "${damage//NAME/$GYRATOR_HOME/contexts/names/broken}"
  printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 4 --context notes >/dev/null 2>"$work/err"
  equal "a talk beside it ($damage)" 0 $?
  exits "its own name is refused" 4 "$gyrator" show broken
  exits "and can be removed" 0 "$gyrator" rm broken
done

# --- What was dropped is gone from the folder.
printf 'My name is Ada.\nThe secret is 4711.\n' | "$gyrator" chat -m "$model" -n 12 --temp 0 --context whole >/dev/null 2>&1
for messages in 3 2 1 0; do
  exits "a fork of $messages messages" 0 "$gyrator" fork whole "part$messages" --messages "$messages"
  cp=$("$gyrator" show "part$messages" --json | sed 's/.*"cp":\([0-9]*\).*/\1/')
  folder=$("$gyrator" show "part$messages" --json | sed 's/.*"folder":"\([^"]*\)".*/\1/')
  end=$(tr -d ' \n' <"$folder/chat.json" | grep -o '"span":\[[0-9]*,[0-9]*' | sed 's/.*,//' | sort -n | tail -n 1)
  equal "holds what its messages need" 1 "$((cp <= ${end:-0}))"
done

# --- What killed processes left is swept; names of removed contexts stay nowhere.
touch "$GYRATOR_HOME/contexts/names/.gone.intent.tmp" "$GYRATOR_HOME/contexts/names/gone.tmp" \
  "$GYRATOR_HOME/contexts/names/.gone.lock" "$GYRATOR_HOME/locks/gone"
printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 4 --context notes >/dev/null 2>&1
exits "rm of a fork" 0 "$gyrator" rm part0
equal "nothing of them is left" 0 "$(find "$GYRATOR_HOME" -name '*gone*' -o -name '*part0*' | wc -l)"

# --- A limit of file size is a full disk, not a signal.
(
  ulimit -f 2
  printf 'Hello.\n' | "$gyrator" chat -m "$model" -n 4 --context limited >/dev/null 2>"$work/err"
  echo $? >"$work/code"
)
equal "a limit of file size" 6 "$(cat "$work/code")"
contains "is named" "File too large" "$(cat "$work/err")"

# --- A copy without a name is removed by its stamp; a name that cannot be read is not free.
stamp=$(basename "$("$gyrator" save one)")
equal "a copy without a name" 1 "$("$gyrator" ls | grep -c "$stamp")"
exits "goes by its stamp" 0 "$gyrator" rm "$stamp"
equal "and is gone" 0 "$("$gyrator" ls | grep -c "$stamp")"
echo "no stamp" >"$GYRATOR_HOME/contexts/names/torn"
exits "a fork over a name that cannot be read" 4 "$gyrator" fork one torn --seed 3 -m "$model"
exits "a fork over one that is there" 2 "$gyrator" fork one two --seed 3 -m "$model"
exits "the torn one is removed" 0 "$gyrator" rm torn

# --- rm.
exits "rm" 0 "$gyrator" rm two bare
exits "is gone" 3 "$gyrator" show two
contains "the other stays" '"name":"one"' "$("$gyrator" ls --json)"
equal "rm in JSON" '{"removed":["one"]}' "$("$gyrator" rm one --json)"
finish
