#!/usr/bin/env bash
# Every example of README.md: runs the commands and compares what they print with what README says.
# UPDATE=1 writes what they print into README.md instead (after the shipped model has changed).
#
# A block that begins with "```console" holds lines "$ command" and what they print. Replies are made
# with --temp 0, so they are the same everywhere; stamps and times are not compared.
#
# The example with SmolLM2 needs the file that make test fetched. Where there was no network, README's
# reply cannot be had: what is checked then is that the command says so, and tests/run.sh tells it.
smollm2=$("$(dirname "$0")/../../tools/fetch.sh" --path smollm2)  # in the home of who runs the test
. "$(dirname "$0")/_lib.sh"
mkdir -p "$build/results"
rm -f "$build/results/e2e_readme.note"
if [[ -f $smollm2 ]]; then
  mkdir -p "$GYRATOR_HOME/cache/models"
  ln -s "$smollm2" "$GYRATOR_HOME/cache/models/"
else
  export PIP_NO_INDEX=1
fi
# The target itself, with this build and without building it again.
make() { command make -s --no-print-directory -C "$source_dir" -o build "$@" BUILD="$build"; }
cd "$work" || exit 1
mkdir bin
ln -s "$gyrator" bin/gyrator
export PATH=$work/bin:$PATH
readme=$source_dir/README.md

# Stamps and times, which differ from run to run, and the room that they take. A size differs by some
# bytes with the digits of the stamp and of the seed: its tenths are not compared.
masked() {
  sed -E 's/m[0-9]+d[0-9]+(x[0-9]+){3,4} */STAMP /g; s/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g; s/( [0-9]+)\.[0-9] (kB|MB)/\1 \2/g; s/ +$//' <<<"$1"
}

rewritten=""
expected=""
command=""
run_command() {
  [[ -n $command ]] || return 0
  local found
  found=$(eval "$command" 2>&1)
  if [[ $command == *MODEL=smollm2* && ! -f $smollm2 ]]; then
    contains "without SmolLM2: $command" "is there a network?" "$found"
    equal "without SmolLM2: one line says so" 1 "$(grep -c '^fetch:' <<<"$found")"
    echo "README's talk with SmolLM2 did not run: the model could not be fetched (tools/fetch.sh smollm2)" \
      >"$build/results/e2e_readme.note"
    found=$expected  # for UPDATE=1
  else
    equal "$command" "$(masked "$expected")" "$(masked "$found")"
  fi
  rewritten+="\$ $command"$'\n'${found:+$found$'\n'}
  command=""
  expected=""
}

inside=0
while IFS= read -r line; do
  if [[ $inside == 0 ]]; then
    rewritten+=$line$'\n'
    if [[ $line == '```console' ]]; then inside=1; fi
  elif [[ $line == '```' ]]; then
    run_command
    rewritten+=$line$'\n'
    inside=0
  elif [[ $line == '$ '* ]]; then
    run_command
    command=${line#'$ '}
  else
    expected+=${expected:+$'\n'}$line
  fi
done <"$readme"
if [[ ${UPDATE:-} == 1 ]]; then
  printf '%s' "$rewritten" >"$readme"
  echo "README.md now says what the commands print"
  exit 0
fi
finish
