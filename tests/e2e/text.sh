#!/usr/bin/env bash
# tokenize and template, byte for byte, with the shipped model's own files.
. "$(dirname "$0")/_lib.sh"

printf 'Hello\n\nHello\r\nHello' >"$work/lines"
"$gyrator" tokenize -m "$model" --text-file "$work/lines" >"$work/ids"
equal "tokenize" 0 $?
equal "a line for each line, the last without LF too" 4 "$(wc -l <"$work/ids")"
equal "an empty line has no ids" "[]" "$(sed -n 2p "$work/ids")"
equal "the same words, the same ids" "$(sed -n 1p "$work/ids")" "$(sed -n 4p "$work/ids")"
differs "CR belongs to the line" "$(sed -n 1p "$work/ids")" "$(sed -n 3p "$work/ids")"
equal "from standard input" "$(cat "$work/ids")" \
  "$("$gyrator" tokenize -m "$model" --text-file - <"$work/lines")"
: >"$work/empty"
equal "an empty file has no lines" "" "$("$gyrator" tokenize -m "$model" --text-file "$work/empty")"
exits "no such file" 3 "$gyrator" tokenize -m "$model" --text-file "$work/none"

printf '[{"role":"user","content":"Hello."}]' >"$work/messages.json"
"$gyrator" template -m "$model" --messages "$work/messages.json" >"$work/prompt"
equal "template" 0 $?
contains "has the words" "Hello." "$(cat "$work/prompt")"
contains "as JSON" '{"prompt":"' "$("$gyrator" template -m "$model" --messages "$work/messages.json" --json)"
"$gyrator" template -m "$model" --messages "$work/messages.json" --set add_generation_prompt=false \
  >"$work/closed"
differs "the generation prompt is there unless unset" "$(cat "$work/closed")" "$(cat "$work/prompt")"
printf '{' >"$work/bad.json"
exits "messages that are no JSON" 2 "$gyrator" template -m "$model" --messages "$work/bad.json"
printf '"text"' >"$work/bad.json"
exits "messages that are no array" 2 "$gyrator" template -m "$model" --messages "$work/bad.json"
printf '[]' >"$work/bad.json"
exits "a conversation without a message" 2 "$gyrator" template -m "$model" --messages "$work/bad.json"
contains "is told so" "at least one message expected" "$(cat "$work/err")"
exits "a variable that is no JSON" 2 "$gyrator" template -m "$model" \
  --messages "$work/messages.json" --set 'x={'

# A file that does not say how its text is cut: refused until somebody says it.
LC_ALL=C sed 's/tokenizer\.ggml\.pre/tokenizer.ggml.prx/' "$model" >"$work/silent.gguf"
for command in "tokenize --text-file $work/lines" "template --messages $work/messages.json" \
  "run --raw -n 1 -p x" "model info"; do
  # shellcheck disable=SC2086  # one word an argument
  exits "without tokenizer.ggml.pre: ${command%% *}" 9 "$gyrator" $command -m "$work/silent.gguf"
  contains "names the flag" "--tokenizer-pre NAME" "$(cat "$work/err")"
done
equal "the flag says it" "$(cat "$work/ids")" \
  "$("$gyrator" tokenize -m "$work/silent.gguf" --tokenizer-pre qwen2 --text-file "$work/lines")"
equal "in commands that open weights too" "$("$gyrator" run --raw -n 4 --temp 0 -m "$model" -p Hello)" \
  "$("$gyrator" run --raw -n 4 --temp 0 -m "$work/silent.gguf" --tokenizer-pre qwen2 -p Hello)"
exits "a name that is not known" 2 "$gyrator" tokenize -m "$work/silent.gguf" \
  --tokenizer-pre qwen99 --text-file "$work/lines"

# A folder that has a tokenizer alone; its template shows what it sees.
mkdir "$work/folder"
cat >"$work/folder/tokenizer.json" <<'JSON'
{"added_tokens": [{"id": 2, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
 "normalized": false, "special": true}], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}
JSON
cat >"$work/folder/tokenizer_config.json" <<'JSON'
{"bos_token": "<s>", "pad_token": "<p>", "image_token": "<i>", "chat_template": [
 {"name": "default", "template": "{{ messages }}{{ bos_token }}{{ pad_token }}{{ image_token }}"},
 {"name": "tool_use", "template": "{{ tools|length }} tools"}]}
JSON
rendered() { "$gyrator" template -m "$work/folder" --messages "$work/messages.json" "$@" 2>&1; }
printf '[{"role":"user","content":null,"name":null,"n":0}]' >"$work/messages.json"
equal "null fields are dropped, special tokens are variables" \
  "[{'role': 'user', 'n': 0}]<s><p><i>" "$(rendered)"
printf '[{"type":"function","function":{"name":"f"}}]' >"$work/tools.json"
equal "with tools the template for tools renders" "1 tools" "$(rendered --tools "$work/tools.json")"
printf 'a<s><p><i>b\n' >"$work/lines"
equal "named tokens have ids" "[0, 2, 3, 4, 1]" \
  "$("$gyrator" tokenize -m "$work/folder" --text-file "$work/lines")"
mkdir "$work/folder/additional_chat_templates"
printf 'for {{ tools[0].function.name }}' >"$work/folder/additional_chat_templates/tool_use.jinja"
equal "template files go first" "for f" "$(rendered --tools "$work/tools.json")"
contains "a model without a default says so" "none is called 'default'" "$(rendered)"
mv "$work/folder/tokenizer.json" "$work/folder/tokenizer.model"
exits "a tokenizer in another form" 9 "$gyrator" tokenize -m "$work/folder" --text-file "$work/lines"
contains "is named, with what to do" "found tokenizer.model" "$(cat "$work/err")"
finish
