# Shared by the end-to-end scripts: source it first. $1 is the build folder.
#
# Gives: $gyrator, $source_dir, $work (a fresh folder, removed at the end), $model (the shipped one),
# $random_model (tiny, random weights), GYRATOR_HOME below $work; checks that print "ok NAME" or
# "FAIL NAME"; finish, which writes the counts that tests/run.sh adds up.
set -uo pipefail
build=$(cd "${1:?usage: $0 BUILD_FOLDER}" && pwd)
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
gyrator=$build/bin/gyrator
model=$source_dir/models/gyrator-chat.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GYRATOR_HOME=$work/home
unset XDG_DATA_HOME
random_model=$work/random.gguf
"$build/bin/make_random_model" --shape tiny --dtype f32 --out "$random_model" >/dev/null || exit 1
passed=0
failed=0

ok() {
  echo "ok   $1"
  passed=$((passed + 1))
}

fail() {  # NAME, what went wrong
  echo "FAIL $1: $2"
  failed=$((failed + 1))
}

# equal NAME EXPECTED FOUND
equal() {
  if [[ $2 == "$3" ]]; then ok "$1"; else fail "$1" "expected '$2', found '$3'"; fi
}

# differs NAME ONE OTHER
differs() {
  if [[ $2 != "$3" ]]; then ok "$1"; else fail "$1" "both are '$2'"; fi
}

# contains NAME PART TEXT
contains() {
  if [[ $3 == *"$2"* ]]; then ok "$1"; else fail "$1" "'$2' is not in '$3'"; fi
}

# same_file NAME ONE OTHER
same_file() {
  if cmp -s "$2" "$3"; then ok "$1"; else fail "$1" "$2 and $3 differ"; fi
}

# exits NAME CODE COMMAND...: standard output and error are in $work/out and $work/err afterwards.
exits() {
  local name=$1 expected=$2
  shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null
  local code=$?
  if [[ $code == "$expected" ]]; then
    ok "$name"
  else
    fail "$name" "exit code $code, expected $expected; $(tail -n 3 "$work/err")"
  fi
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails after the time.
wait_for() {
  local left=$(($1 * 50))
  shift
  until "$@"; do
    left=$((left - 1))
    [[ $left -gt 0 ]] || return 1
    sleep 0.02
  done
}

finish() {
  local name
  name=e2e_$(basename "$0" .sh)
  mkdir -p "$build/results"
  echo "$passed $failed" > "$build/results/$name.count"
  echo "$passed passed, $failed failed"
  [[ $failed == 0 && $passed -gt 0 ]]
  exit $?
}
