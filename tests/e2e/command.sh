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
contains "its stored bytes by type" '"stored_bytes":{"q8_0":' "$(cat "$work/out")"
contains "and what conversion adds" '"added_error":0.0' "$(cat "$work/out")"
golden=$source_dir/tests/golden/weights
exits "model info of a file of all types" 0 "$gyrator" model info -m "$golden/mixed.gguf"
contains "names them" "q6_K 13.4 kB" "$(cat "$work/out")"
contains "says what was quantized again" "int8.q8.v1" "$(cat "$work/out")"
exits "a model in parts" 0 "$gyrator" run -m "$golden/parts-00001-of-00003.gguf" --tokens 1,2 -n 1
exits "verifies" 0 "$gyrator" model verify -m "$golden/parts-00001-of-00003.gguf"
digest=$(grep sha256 "$work/out")
exits "as the whole file does" 0 "$gyrator" model verify -m "$golden/whole.gguf"
equal "with the same digest" "$digest" "$(grep sha256 "$work/out")"
exits "another part than the first" 2 "$gyrator" model info -m "$golden/parts-00002-of-00003.gguf"
contains "names the first" "parts-00001-of-00003.gguf" "$(cat "$work/err")"
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

# --- Outputs are checked, whatever the form; a reader that goes away is no error to tell.
printf 'My name is Ada.\n' | "$gyrator" chat --temp 0 --context out >/dev/null
printf '[{"role":"user","content":"x"}]' >"$work/messages"
echo x >"$work/text"
for command in "ls" "show out" "stats" "verify out" "explain -p x" "model info" "model verify" "template --messages $work/messages" \
  "run -p x -n 1" "save out" "fork out out2" "rm out2" "bench limits -t 1" "bench -p 4 -n 1 -r 1"; do
  # shellcheck disable=SC2086
  "$gyrator" $command --json >/dev/full 2>"$work/err"
  equal "$command --json on a full disk" 8 $?
  contains "$command: says so" "standard output" "$(cat "$work/err")"
done
printf 'x\n' | "$gyrator" chat --json -n 1 >/dev/full 2>/dev/null
equal "chat --json on a full disk" 8 $?
"$gyrator" tokenize --text-file "$work/text" >/dev/full 2>/dev/null
equal "tokenize on a full disk" 8 $?
"$gyrator" --help >/dev/full 2>/dev/null
equal "--help on a full disk" 8 $?
exits "a closed output" 8 bash -c "'$gyrator' ls --json >&-"
for command in "ls --json" "show out" "run -p x" "template --messages $work/messages"; do
  # shellcheck disable=SC2086
  code=$({ "$gyrator" $command 2>"$work/err"; echo $? >"$work/code"; } | true; cat "$work/code")
  if [[ $code == 141 || $code == 0 ]]; then ok "$command: nobody reads"; else fail "$command: nobody reads" "$code"; fi
  equal "$command: is quiet" "" "$(cat "$work/err")"
done

# --- Pipes are inputs.
mkfifo "$work/fifo"
cat "$work/text" >"$work/fifo" &
exits "tokenize from a pipe with a name" 0 "$gyrator" tokenize -f "$work/fifo"
equal "the same ids" "$("$gyrator" tokenize -f "$work/text")" "$(cat "$work/out")"
equal "template from a pipe" "$("$gyrator" template --messages "$work/messages")" "$("$gyrator" template --messages <(cat "$work/messages"))"
exits "a folder is no input" 2 "$gyrator" tokenize -f "$work"

# --- Words of one dash, and messages that name the cause and the next step.
for words in "chat -hf ggml-org/x" "chat -ngl 99" "run -cnv" "chat -st" "chat --tempp 1" "run -f doc.txt"; do
  # shellcheck disable=SC2086
  exits "$words" 2 "$gyrator" $words
  equal "$words: prints no help" "" "$(cat "$work/out")"
  contains "$words: is named" "unknown flag '$(cut -d' ' -f2 <<<"$words")'" "$(cat "$work/err")"
done
printf 'Hi.\n' | "$gyrator" chat -m "$random_model" --context other -n 1 >/dev/null
exits "a forgotten -m" 5 "$gyrator" chat --context other
contains "says -m" "-m FILE" "$(cat "$work/err")"
contains "and whose context it is" "'other'" "$(cat "$work/err")"
exits "in fork too" 5 "$gyrator" fork other other2 --messages 0
contains "which says -m" "-m FILE" "$(cat "$work/err")"
exits "a fork over another" 2 "$gyrator" fork out out
equal "does not advise to remove it" 0 "$(grep -c 'rm' "$work/err")"
for prompt in "Be long." "Be brief"; do
  printf 'Hello.\n' | "$gyrator" chat --temp 0 --context brief --system-prompt "Be brief." >/dev/null 2>&1
  exits "another system prompt, '$prompt'" 2 "$gyrator" chat --context brief --system-prompt "$prompt"
  contains "names the one of the context" "'Be brief.'" "$(cat "$work/err")"
done
exits "the same one is none" 0 "$gyrator" chat --context brief --system-prompt "Be brief."
exits "where there was none" 2 "$gyrator" chat --context out --system-prompt "Be brief."
for name in 'a b' "$(printf 'x%.0s' {1..80})" 'm11d30x0x15x57x30' '-x'; do
  printf 'Hello.\n' | "$gyrator" chat --context="$name" >"$work/out" 2>"$work/err"
  equal "the name '$name' is refused" 2 $?
  equal "before anything is said ('$name')" "" "$(cat "$work/out")"
done
exits "a home that is a file" 2 env GYRATOR_HOME="$work/text" "$gyrator" ls
for lengths in 4,8 8,4 4,4,4 5; do
  exits "lists of lengths: $lengths" 0 "$gyrator" bench -m "$random_model" -p $lengths -d 0,4 -n 1 -r 2 -t 1
  equal "a line for each: $lengths" "$(tr ',' '\n' <<<"$lengths" | wc -l)" "$(grep -c '^prefill' "$work/out")"
done
bench=("$gyrator" bench -m "$random_model" -t 1 --seconds 0.1)
exits "bench: no prompt" 0 "${bench[@]}" -p 0 -n 2 -d 0,4
equal "leaves decoding" "decode at 0 decode at 4" "$(grep -oE '^(prefill|decode at) [0-9]+' "$work/out" | xargs)"
exits "bench: no token" 0 "${bench[@]}" -p 4 -n 0 --json
contains "leaves the prompt, with its spread" '"tokens_s_max":' "$(cat "$work/out")"
equal "and no more" "1 0" "$(grep -o '"test":"[a-z]*' "$work/out" | grep -c prefill) $(grep -c decode "$work/out")"
exits "bench: neither" 2 "${bench[@]}" -p 0 -n 0
"$gyrator" chat --temp -1 2>"$work/err"
contains "numbers are short" "from 0 to 1e+06 expected, found -1" "$(cat "$work/err")"

# --- A terminal: colours, prompt, editor. script(1) makes one.
typed() { printf 'Hello.\n/show\n/exit\n' | script -qec "$1" /dev/null 2>&1 | tr -d '\r'; }
uncoloured() { sed 's/\x1b\[[0-9;]*m//g'; }
contains "a terminal has a prompt" "> " "$(typed "'$gyrator' chat -n 8 --seed 1" | uncoloured)"
contains "and commands" "tokens" "$(typed "'$gyrator' chat -n 8 --seed 1")"
contains "and colours" $'\e[' "$(TERM=xterm typed "'$gyrator' chat -n 8 --seed 1")"
finish
