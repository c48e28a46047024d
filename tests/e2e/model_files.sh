#!/usr/bin/env bash
# Model files that change under a talk, and paths that are no model: what is said, what stays.
. "$(dirname "$0")/_lib.sh"

# changed TO: a copy of the shipped model with other weights.
changed() {
  cp "$model" "$1"
  printf '\x01\x02\x03' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 2000)) conv=notrunc status=none
}

# talk NAME ARGUMENTS...: a chat that reads its lines from descriptor 9, in the background ($talk).
talk() {
  local name=$1
  shift
  rm -f "$work/lines"
  mkfifo "$work/lines"
  "$gyrator" chat -n 8 --temp 0 "$@" <"$work/lines" >"$work/$name.out" 2>"$work/$name.err" &
  talk=$!
  exec 9>"$work/lines"
}

# ends CODE NAME: the talk of `talk` ends by itself, or because its input does.
ends() {
  exec 9>&-
  wait "$talk"
  equal "$2" "$1" $?
}

has_lines() { [[ $(wc -l <"$1") -ge $2 ]]; }
digests=$GYRATOR_HOME/cache/digests

# --- Another file in the place of the mapped one.
cp "$model" "$work/m.gguf"
changed "$work/other.gguf"
talk replaced -m "$work/m.gguf" --context replaced
wait_for 60 test -s "$digests" || fail "the weights are hashed before the first line" "no digest"
mv "$work/other.gguf" "$work/m.gguf"
echo 'Hello.' >&9
ends 0 "a talk goes on with the file that it mapped"
exits "other weights do not resume it" 5 "$gyrator" chat -m "$work/m.gguf" --context replaced
contains "they are named" "weights_sha256" "$(cat "$work/err")"
exits "the same weights do" 0 "$gyrator" chat -m "$model" --context replaced
exits "the healthy file verifies" 0 "$gyrator" model verify -m "$work/m.gguf"
exits "and verifies again" 0 "$gyrator" model verify -m "$work/m.gguf"
equal "against its digest" 2 "$(wc -l <"$work/out")"
GYRATOR_HOME=$work/none exits "one that was never hashed" 0 "$gyrator" model verify -m "$work/m.gguf"
contains "is told as such" "first time" "$(cat "$work/out")"
exits "as does the first one" 0 "$gyrator" model verify -m "$model"

# --- Overwritten in place: the next save is refused, the last state stays.
cp "$model" "$work/m.gguf"
talk written -m "$work/m.gguf" --context written
echo 'Hello.' >&9
wait_for 60 has_lines "$work/written.out" 1 || fail "a reply" "none came"
wait_for 60 "$gyrator" verify written >/dev/null 2>&1
cp "$GYRATOR_HOME/contexts/names/written" "$work/before"
changed "$work/other.gguf"
sleep 0.05
cat "$work/other.gguf" >"$work/m.gguf"
echo 'And now?' >&9
ends 5 "a model that was overwritten in place ends the talk"
contains "it is said why" "was written after it was loaded" "$(cat "$work/written.err")"
exits "what was saved before verifies" 0 "$gyrator" verify written
exits "the new content verifies" 0 "$gyrator" model verify -m "$work/m.gguf"

# --- Truncated: seen at the save, or by the page that is not there.
cp "$model" "$work/m.gguf"
talk cut -m "$work/m.gguf" --context cut
echo 'Hello.' >&9
wait_for 60 has_lines "$work/cut.out" 1 || fail "a reply" "none came"
truncate -s 5000 "$work/m.gguf"
echo 'And now?' >&9
exec 9>&-
wait "$talk"
code=$?
if [[ $code == 5 || $code == 8 ]]; then ok "a truncated model ends the talk"; else fail "a truncated model" "exit $code"; fi
contains "with the file's name" "$work/m.gguf" "$(cat "$work/cut.err")"
exits "its context verifies" 0 "$gyrator" verify cut
for json in "" --json; do
  cp "$model" "$work/m.gguf"
  # shellcheck disable=SC2086
  talk bus $json -m "$work/m.gguf"
  echo 'Hello.' >&9
  wait_for 60 has_lines "$work/bus.out" 1 || fail "a reply" "none came"
  truncate -s 0 "$work/m.gguf"
  echo 'And now?' >&9
  ends 8 "a page that is not there any more is an error of input $json"
  contains "which names the file $json" "$work/m.gguf: a part of the file cannot be read" "$(cat "$work/bus.err")"
done
contains "as JSON where JSON was asked for" '{"error":{"code":"io"' "$(tail -n 1 "$work/bus.err")"

# --- A name with control characters.
LC_ALL=C sed 's/Gyrator Chat/Gyra\x0a\x1b[31mab/' "$model" >"$work/named.gguf"
exits "a model with a line feed in its name loads" 0 "$gyrator" model info -m "$work/named.gguf"
printf 'Hello.\n' | "$gyrator" chat -m "$work/named.gguf" --context named -n 4 >/dev/null 2>"$work/err"
equal "its talk is saved" 0 $?
exits "and verifies" 0 "$gyrator" verify named
for command in "ls" "show named" "model info -m $work/named.gguf"; do
  # shellcheck disable=SC2086
  "$gyrator" $command >"$work/out" 2>&1
  equal "no escape in '$command'" "" "$(tr -dc '\033' <"$work/out")"
done

# --- What is no model.
mkfifo "$work/pipe"
exits "a pipe is refused at once" 2 timeout 20 "$gyrator" run -m "$work/pipe" -p x
contains "and named" "$work/pipe: not a regular file" "$(cat "$work/err")"
exits "a device is refused" 2 "$gyrator" run -m /dev/null -p x
exits "a name of a hub is not found" 3 "$gyrator" run -m some-org/some-model -p x
contains "and told apart" "nothing is downloaded" "$(cat "$work/err")"
golden=$source_dir/tests/golden/models
exits "a file of a folder is refused" 2 "$gyrator" run -m "$golden/llama3/config.json" -p x
contains "with the folder to give" "give the folder: $golden/llama3" "$(cat "$work/err")"
exits "a folder of GGUF files is not a model" 3 "$gyrator" run -m "$golden" -p x
contains "they are listed" "$golden/llama2.f32.gguf, " "$(cat "$work/err")"

# --- Text from a pipe.
printf 'Hello.' >"$work/text"
expected=$("$gyrator" tokenize -m "$model" --text-file "$work/text")
equal "a text file may be a pipe" "$expected" "$("$gyrator" tokenize -m "$model" --text-file <(cat "$work/text"))"
finish
