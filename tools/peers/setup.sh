#!/usr/bin/env bash
# Builds the peers in environments of their own, and makes the files that are measured. What is there
# already stays.
#
# usage: tools/peers/setup.sh [llamacpp|openvino|models|text]...    without arguments: all, in this order
#
#   llamacpp  llama-cpp-python with its llama.cpp, compiled for this CPU (some minutes on 2 cores)
#   openvino  OpenVINO GenAI, and nncf to make its 8-bit models
#   models    the models of peers.py, 14 GB: random weights in the shape of Llama-3.2-1B, SmolLM2-135M
#   text      the English of perplexity.py: Alice's Adventures in Wonderland (public domain), which the
#             source package of Brotli carries as test data
#
# All of it lies in .cache/peers (PEERS_DIR: elsewhere), which git ignores. Needs g++, cmake and ninja
# (tools/setup.sh core), a built command (tools/build.sh bench) and a network.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tools/peers
peers=${PEERS_DIR:-.cache/peers}
models=$peers/models
mkdir -p "$models"
quiet_pip=(-m pip --quiet --disable-pip-version-check)

say() { echo "peers: $*" >&2; }

# Makes the environment $1 with exactly the packages of its list.
environment() {
  local list=$here/requirements_$1.txt python=$peers/$1/bin/python
  if cmp -s "$list" "$peers/$1/requirements.txt"; then return; fi
  say "making the environment $1"
  python3 -m venv --clear "$peers/$1"
  CMAKE_ARGS="-DGGML_NATIVE=ON" "$python" "${quiet_pip[@]}" install --no-deps -r "$list"
  cp "$list" "$peers/$1/requirements.txt"
}

# make FILE COMMAND...: runs the command unless FILE is there.
make() {
  if [[ -e $1 ]]; then return; fi
  say "making $1"
  "${@:2}"
}
rewrite() { "$peers/llamacpp/bin/python" "$here/gguf_rewrite.py" "$@"; }
openvino() { "$peers/openvino/bin/python" "$here/openvino_model.py" "$@" >&2; }
random() {  # TYPE FILE
  build/bin/make_random_model --shape llama-3.2-1b --dtype "$1" --out "$2.part"
  mv "$2.part" "$2"
}
link() { ln -sfn "$(tools/fetch.sh smollm2)" "$1"; }

make_models() {
  make "$models/1b-bf16.gguf" random bf16 "$models/1b-bf16.gguf"
  make "$models/smollm2-q4_1.gguf" link "$models/smollm2-q4_1.gguf"
  local name source
  for name in 1b-q8_0 1b-q4_k_m 1b-f16 smollm2-q8_0 smollm2-f16 smollm2-f32; do
    source=$models/smollm2-q4_1.gguf
    if [[ $name == 1b-* ]]; then source=$models/1b-bf16.gguf; fi
    make "$models/$name.gguf" rewrite "${name##*-}" "$source" "$models/$name.gguf"
  done
  for name in 1b-f16 1b-q4_k_m smollm2-f16 smollm2-q4_1; do
    make "$models/$name.openvino" openvino read "$models/$name.gguf" "$models/$name.openvino"
  done
  for name in 1b smollm2; do
    make "$models/$name-int8.openvino" openvino int8 "$models/$name-f16.openvino" "$models/$name-int8.openvino"
  done
}

make_text() {
  local package=brotli==1.1.0 text=$peers/alice.txt
  if [[ -f $text ]]; then return; fi
  say "fetching $text"
  rm -rf "$peers/text"
  mkdir "$peers/text"
  echo "$package --hash=sha256:81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724" >"$peers/text/list"
  "$peers/llamacpp/bin/python" "${quiet_pip[@]}" download --no-deps --no-binary :all: --require-hashes \
    --dest "$peers/text" -r "$peers/text/list"
  tar xzOf "$peers"/text/*.tar.gz --wildcards '*/tests/testdata/alice29.txt' >"$text.part"
  mv "$text.part" "$text"
  rm -rf "$peers/text"
}

if [[ $# == 0 ]]; then set -- llamacpp openvino models text; fi
for part in "$@"; do
  case $part in
    llamacpp | openvino) environment "$part" ;;
    models) make_models ;;
    text) make_text ;;
    *) sed -n 2,16p "$0" >&2; exit 2 ;;
  esac
done
