#!/usr/bin/env bash
# batch: a file of requests, what comes back, in which order, and what a bad line does.
. "$(dirname "$0")/_lib.sh"
batch=("$gyrator" batch -m "$model")
system='You are a patient assistant who answers briefly, in plain words, and who never forgets the name that the user said.'

# request MORE TEXT: a line with the system prompt.
request() {
  printf '{"messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"}]%s}\n' "$system" "$2" "$1"
}
# field NAME TEXT: its first value in JSON.
field() { grep -o "\"$1\":\(\"[^\"]*\"\|[^,}]*\)" <<<"$2" | head -n 1 | cut -d: -f2- | tr -d '"'; }

# --- Twenty requests with one system prompt.
for i in {0..19}; do request ",\"temperature\":0,\"custom_id\":\"r$i\"" "My name is Ada and I am $i."; done >"$work/in"
exits "twenty requests" 0 "${batch[@]}" --in "$work/in" --ordered
cp "$work/out" "$work/ordered"
equal "twenty replies" 20 "$(wc -l <"$work/ordered")"
equal "in the order of the requests" "$(seq -s ' ' 0 19)" \
  "$(grep -o '^{"index":[0-9]*' "$work/ordered" | cut -d: -f2 | tr '\n' ' ' | sed 's/ $//')"
cached=0
for ((i = 1; i <= 20; i++)); do
  line=$(sed -n "${i}p" "$work/ordered")
  [[ $(field cached_tokens "$line") -gt 0 ]] && cached=$((cached + 1))
  equal "line $i is its own" "r$((i - 1))" "$(field custom_id "$line")"
done
if [[ $cached -ge 12 ]]; then ok "the system prompt is read from the cache"; else fail "the cache" "$cached of 20"; fi
for i in 0 7 19; do
  line=$(sed -n "$((i + 1))p" "$work/ordered")
  equal "reply $i is that of run" \
    "$("$gyrator" run -m "$model" --temp 0 --system-prompt "$system" --prompt "My name is Ada and I am $i.")" \
    "$(field content "$line")"
done
line=$(head -n 1 "$work/ordered")
contains "OpenAI's object" '"object":"chat.completion"' "$line"
contains "with llama-server's timings" '"timings":{"cache_n":' "$line"
equal "the sum is right" "$(field total_tokens "$line")" \
  $(($(field prompt_tokens "$line") + $(field completion_tokens "$line")))
equal "cached and read are the prompt" "$(field prompt_tokens "$line")" \
  $(($(field cache_n "$line") + $(field prompt_n "$line")))
replies() { sed 's/"id":"[^"]*"//; s/"created":[0-9]*//; s/"usage".*//' "$@" | sort; }  # without what differs from run to run
for flags in "-np 1" "-np 16" "--kv-budget 600K" "-t 1 -b 7"; do
  # shellcheck disable=SC2086
  "${batch[@]}" --in - $flags <"$work/in" >"$work/other"
  equal "the same replies with $flags" "$(replies "$work/ordered")" "$(replies "$work/other")"
done
exits "into a file" 0 "${batch[@]}" --in "$work/in" -o "$work/file"
equal "has nothing else to print" "" "$(cat "$work/out")"
equal "the same replies there" "$(replies "$work/ordered")" "$(replies "$work/file")"
(cat "$work/in"; request ',"cache_namespace":"other","temperature":0' "My name is Ada and I am 0.") >"$work/spaces"
exits "a namespace" 0 "${batch[@]}" --in "$work/spaces" --ordered -np 1
equal "sees nothing of the others" 0 "$(field cached_tokens "$(tail -n 1 "$work/out")")"

# --- Sampling: what a line says, what a flag says.
text() { field content "$(printf '%s\n' "$1" | "${batch[@]}" --in - "${@:2}")"; }
long=',"ignore_eos":true,"max_tokens":30,"temperature":1.5'
equal "a seed fixes the text" "$(text "$(request "$long,\"seed\":4" Hi)")" "$(text "$(request "$long,\"seed\":4" Hi)")"
differs "another seed, another text" "$(text "$(request "$long,\"seed\":4" Hi)")" "$(text "$(request "$long,\"seed\":5" Hi)")"
differs "without one it is random" "$(text "$(request "$long" Hi)")" "$(text "$(request "$long" Hi)")"
equal "the flag is the default" "$(text "$(request "$long" Hi)" --seed 4)" "$(text "$(request "$long,\"seed\":4" Hi)")"
equal "--temp is too" "$(text "$(request '' Hi)" --temp 0 -n 12)" "$(text "$(request ',"temperature":0,"max_completion_tokens":12' Hi)")"

# --- Ends.
reason() { field finish_reason "$(printf '%s\n' "$1" | "${batch[@]}" --in - "${@:2}")"; }
endless=',"ignore_eos":true,"temperature":0'
equal "its own end" stop "$(reason "$(request ',"temperature":0' Hi)")"
equal "the limit" length "$(reason "$(request "$endless,\"max_tokens\":5" Hi)")"
equal "the capacity" length "$(reason "$(request "$endless" Hi)" -c 128)"
equal "a full session" 129 "$(field total_tokens "$(request "$endless" Hi | "${batch[@]}" --in - -c 128)")"
equal "cancelled after 30 ms" cancelled "$(reason "$(request "$endless,\"cancel_after_ms\":30" Hi)" -t 1)"
equal "a deadline of 30 ms" deadline "$(reason "$(request "$endless,\"deadline_ms\":30" Hi)" -t 1)"
equal "the deadline was not yet" stop "$(reason "$(request ',"temperature":0,"deadline_ms":600000' Hi)")"

equal "a reply past its capacity" "length 200" \
  "$(printf '%s\n' "$(request "$endless,\"max_tokens\":200" Hi)" | "${batch[@]}" --in - -c 128 --overflow fifo >"$work/out"
    field finish_reason "$(cat "$work/out")") $(field completion_tokens "$(cat "$work/out")")"

# --- A reply ends before the first stop string, the leftmost one.
plain=$(text "$(request ',"temperature":0' "My name is Ada.")")
says() { text "$(request ",\"temperature\":0,\"stop\":$1" "My name is Ada.")"; }
word=$(cut -d' ' -f3 <<<"$plain")
equal "a stop string" "${plain%%" $word"*}" "$(says "\" $word\"")"
equal "one of several" "${plain%%" $word"*}" "$(says "[\"nothing\",\" $word\"]")"
equal "the leftmost" "${plain:0:1}" "$(says "[\" $word\",\"${plain:1:3}\"]")"
equal "none of it is said" "$plain" "$(says '["nothing like it"]')"
equal "no string" "$plain" "$(says '[]')"
equal "a letter in the middle of a token" "${plain%%a*}" "$(says '"a"')"
equal "its reason is stop" stop "$(reason "$(request ",\"temperature\":0,\"ignore_eos\":true,\"max_tokens\":60,\"stop\":\"${plain:1:2}\"" "My name is Ada.")")"
equal "without one it is length" length "$(reason "$(request "$endless,\"max_tokens\":5,\"stop\":\"nothing like it\"" Hi)")"

# --- What a strict client wants of a reply.
before=$(date +%s)
line=$(request ',"temperature":0' Hi | "${batch[@]}" --in -)
after=$(date +%s)
created=$(field created "$line")
if [[ $created -ge $before && $created -le $after ]]; then ok "created is the time"; else fail "created" "'$created', $before to $after"; fi
for name in '"id":"chatcmpl-' '"object":"chat.completion"' '"model":"' '"choices":[{"index":0' '"refusal":null' '"logprobs":null'; do
  contains "has $name" "$name" "$line"
done

# --- Variables of the template.
printf '%s' "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if enable_thinking is defined and not enable_thinking %}no thoughts{% endif %}" >"$work/template"
python3 "$(dirname "$0")/_model.py" "$random_model" "$work/thinks.gguf" template "$(cat "$work/template")"
thinks=("$gyrator" batch -m "$work/thinks.gguf" --in -)
prompt() { field prompt_tokens "$(printf '{"messages":[{"role":"user","content":"hi"}],"max_tokens":1%s}\n' "$1" | "${thinks[@]}")"; }
equal "none" 2 "$(prompt '')"
equal "thinking off" 13 "$(prompt ',"chat_template_kwargs":{"enable_thinking":false}')"
equal "thinking on" 2 "$(prompt ',"chat_template_kwargs":{"enable_thinking":true}')"
equal "another variable" 2 "$(prompt ',"chat_template_kwargs":{"thinking":false}')"
off='{"enable_thinking":false}'
json=$("$gyrator" run -m "$work/thinks.gguf" -p hi -n 1 --json --chat-template-kwargs "$off")
equal "run has a flag" 13 "$(field prompt_tokens "$json")"
json=$(printf 'hi\n' | "$gyrator" chat -m "$work/thinks.gguf" -n 1 --json --chat-template-kwargs "$off")
equal "chat too" 13 "$(field tokens_decoded "$json")"

# --- An output that is an input is refused, and nothing of it is lost.
request '' Hi >"$work/requests"
cp "$work/requests" "$work/kept"
ln -s "$work/requests" "$work/soft"
ln "$work/requests" "$work/hard"
for output in "$work/requests" "$work/soft" "$work/hard" "$work/../$(basename "$work")/requests"; do
  exits "the output $(basename "$output") is the input" 2 "${batch[@]}" --in "$work/requests" -o "$output"
  same_file "which is whole ($(basename "$output"))" "$work/kept" "$work/requests"
done
"${batch[@]}" --in - -o "$work/requests" <"$work/requests" 2>"$work/err"
equal "also as standard input" 2 $?
"${batch[@]}" --in "$work/requests" >>"$work/requests" 2>"$work/err"
equal "and with standard output" 2 $?
same_file "it is whole" "$work/kept" "$work/requests"
cp "$random_model" "$work/mine.gguf"
exits "the output is the model" 2 "$gyrator" batch -m "$work/mine.gguf" --in "$work/requests" -o "$work/mine.gguf"
exits "of run too" 2 "$gyrator" run -m "$work/mine.gguf" -p x --dump-logits "$work/mine.gguf"
same_file "which is whole" "$random_model" "$work/mine.gguf"
"${batch[@]}" --in <(cat "$work/requests") -o "$work/file"
equal "from a pipe into a file" "0 1" "$? $(wc -l <"$work/file")"

# --- Priorities: one at a time, the lowest first.
for p in 3 1 -2 1; do request ",\"priority\":$p,\"max_tokens\":1" Hi; done >"$work/in"
"${batch[@]}" --in "$work/in" -np 1 >"$work/out"
equal "lower goes first" "2 1 3 0" "$(grep -o '^{"index":[0-9]*' "$work/out" | cut -d: -f2 | tr '\n' ' ' | sed 's/ $//')"

# --- Bad lines stop nobody.
{ request ',"temperature":0' Hi; echo; echo 'nonsense'; request ',"stream":true,"custom_id":"s"' Hi
  request ',"temperature":0,"store":true' Hi; request ',"store":true' Hi; } >"$work/in"
exits "the code of the first bad line" 2 "${batch[@]}" --in "$work/in" --ordered
cp "$work/err" "$work/notes"
equal "a line for each" 5 "$(wc -l <"$work/out")"
equal "two of them errors" 2 "$(grep -c '"error":{"code":' "$work/out")"
contains "by code and name" '"custom_id":"s","error":{"code":"unsupported","name":"unsupported_field","message":"stream: a reply comes whole","exit":9}' \
  "$(sed -n 3p "$work/out")"
contains "says which line" "2 of 5 requests failed; line 3: " "$(cat "$work/notes")"
equal "an ignored field is noted once" 1 "$(grep -c "line 5: 'store' is ignored" "$work/notes")"
equal "and no more" 1 "$(grep -c store "$work/notes")"
for field in '"n":2' '"logprobs":true' '"top_logprobs":3' '"functions":[{"name":"f"}]' '"function_call":{"name":"f"}' '"tool_choice":"required"' \
  '"modalities":["text","audio"]' '"audio":{"voice":"x"}' '"grammar":"root ::= x"'; do
  request ",$field" Hi >"$work/in"
  exits "$field is not supported" 9 "${batch[@]}" --in "$work/in"
  contains "$field is named" "$(cut -d'"' -f2 <<<"$field"): " "$(cat "$work/out")"
done
request '' "$(printf 'word %.0s' {1..200})" >"$work/in"
exits "too long a prompt" 6 "${batch[@]}" --in "$work/in" -c 128
contains "names the capacity" '"name":"capacity"' "$(cat "$work/out")"
: >"$work/in"
exits "no request, no reply" 0 "${batch[@]}" --in "$work/in"
equal "and no output" "" "$(cat "$work/out")"
exits "no such file" 3 "${batch[@]}" --in "$work/none"
exits "no such folder" 3 "${batch[@]}" --in "$work/in" -o "$work/none/x"
exits "no tokenizer" 9 "$gyrator" batch -m "$source_dir/tests/golden/models/llama3" --in "$work/in"
request '' Hi >"$work/in"
"${batch[@]}" --in "$work/in" >/dev/full 2>"$work/err"
equal "a full disk" 8 $?

# --- What many sessions cost.
bench=("$gyrator" bench batch -m "$random_model" -np 3 -d 16 -p 40,80 -n 4 -r 1 --n-long 100)
exits "bench batch" 0 "${bench[@]}"
equal "a line for each figure" 11 "$(grep -cE '^(1 session|3 sessions|prefix|loop|  without|longest)' "$work/out")"
exits "in JSON" 0 "${bench[@]}" --json
equal "as many" 11 "$(grep -o '"ratio":' "$work/out" | wc -l)"
contains "with the limits of the run" '"limits":{"cpu":' "$(cat "$work/out")"
exits "a pool that is too small" 6 "${bench[@]}" --kv-budget 4K

# --- Ctrl-C: what runs is cancelled, what waits is told so.
for i in {0..29}; do request "$endless" "$i"; done >"$work/in"
"${batch[@]}" --in "$work/in" -np 2 -t 1 >"$work/cut" 2>"$work/err" &
job=$!
wait_for 20 test -s "$work/cut"
kill -TERM $job
wait $job
equal "interrupted" 130 $?
equal "a line for each all the same" 30 "$(wc -l <"$work/cut")"
contains "some were cancelled" '"finish_reason":"cancelled"' "$(cat "$work/cut")"
contains "some never began" '"code":"cancelled"' "$(cat "$work/cut")"
finish
