#!/usr/bin/env bash
# Every example of README.md: the commands run, and print what README says they print.
#
# A block that begins with "```console" holds lines "$ command" and what they print. Replies are made
# with --temp 0 by the shipped model, so they are the same everywhere.
. "$(dirname "$0")/_lib.sh"
cd "$work" || exit 1
mkdir bin
ln -s "$gyrator" bin/gyrator
export PATH=$work/bin:$PATH

expected=""
command=""
check_block() {
  [[ -n $command ]] || return 0
  local found
  found=$(eval "$command" 2>&1)
  # What changes from run to run is written as ... in README.
  local pattern=${expected//\[/\\[}
  pattern=${pattern//\.\.\./*}
  # shellcheck disable=SC2053
  if [[ $found == $pattern ]]; then ok "$command"; else fail "$command" "printed '$found', README has '$expected'"; fi
  command=""
  expected=""
}
inside=0
while IFS= read -r line; do
  if [[ $line == '```console' ]]; then inside=1; continue; fi
  if [[ $line == '```' ]]; then check_block; inside=0; continue; fi
  [[ $inside == 1 ]] || continue
  if [[ $line == '$ '* ]]; then
    check_block
    command=${line#'$ '}
  else
    expected+=${expected:+$'\n'}$line
  fi
done <"$source_dir/README.md"
finish
