#!/usr/bin/env bash
# The command itself: help, version, exit codes, errors in JSON, model info, where things lie.
. "$(dirname "$0")/_lib.sh"

exits "--version" 0 "$gyrator" --version
contains "names itself" "gyrator 0." "$(cat "$work/out")"
exits "--help" 0 "$gyrator" --help
for command in chat run batch save load ls show verify rm tokenize template model bench; do
  contains "help lists $command" "$command" "$(cat "$work/out")"
done
for command in chat run batch save load ls show verify rm tokenize template "model info" "model verify" bench; do
  # shellcheck disable=SC2086
  "$gyrator" $command --help >"$work/out" 2>&1
  contains "$command takes --json" "--json" "$(cat "$work/out")"
done
exits "no subcommand" 2 "$gyrator"
exits "an unknown flag" 2 "$gyrator" ls --nope
contains "says which" "--nope" "$(cat "$work/err")"
equal "and prints nothing else" "" "$(cat "$work/out")"
"$gyrator" show none --json 2>"$work/err" >"$work/out"
equal "an error in JSON" 3 $?
contains "has code and exit" '{"error":{"code":"not found"' "$(cat "$work/err")"
contains "has its number" '"exit":3}}' "$(cat "$work/err")"

# --- Models.
exits "model info" 0 "$gyrator" model info
contains "of the shipped model" "gyrator-chat.gguf" "$(cat "$work/out")"
exits "model info in JSON" 0 "$gyrator" model info --json
contains "has the family" '"family":"llama"' "$(cat "$work/out")"
exits "model verify" 0 "$gyrator" model verify -m "$random_model"
contains "says the digest" "sha256" "$(cat "$work/out")"
exits "digests are remembered" 0 test -e "$GYRATOR_HOME/cache/digests"
exits "no such model" 3 "$gyrator" model info -m "$work/none"
head -c 1000 "$random_model" >"$work/cut.gguf"
exits "a cut model" 4 "$gyrator" model info -m "$work/cut.gguf"
mkdir "$work/alien"
printf '{"model_type":"alien","architectures":["AlienForCausalLM"]}' >"$work/alien/config.json"
exits "an unknown architecture" 9 "$gyrator" model info -m "$work/alien"
contains "is named" "alien" "$(tr '[:upper:]' '[:lower:]' <"$work/err")"

# --- Without models/ beside it the command says where it looked.
mkdir -p "$work/lonely/bin"
cp "$gyrator" "$work/lonely/bin/"
exits "no shipped model" 3 "$work/lonely/bin/gyrator" model info
contains "says where it looked" "share/gyrator/gyrator-chat.gguf" "$(cat "$work/err")"
mkdir -p "$work/lonely/share/gyrator"
cp "$random_model" "$work/lonely/share/gyrator/gyrator-chat.gguf"
exits "installed" 0 "$work/lonely/bin/gyrator" model info

# --- A terminal: colours, prompt, editor. script(1) makes one.
typed() { printf 'Hello.\n/show\n/exit\n' | script -qec "$1" /dev/null 2>&1 | tr -d '\r'; }
uncoloured() { sed 's/\x1b\[[0-9;]*m//g'; }
contains "a terminal has a prompt" "> " "$(typed "'$gyrator' chat -n 8 --seed 1" | uncoloured)"
contains "and commands" "tokens" "$(typed "'$gyrator' chat -n 8 --seed 1")"
contains "and colours" $'\e[' "$(TERM=xterm typed "'$gyrator' chat -n 8 --seed 1")"
finish
