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
exits "a variable that is no JSON" 2 "$gyrator" template -m "$model" \
  --messages "$work/messages.json" --set 'x={'
finish
