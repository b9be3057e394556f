#!/bin/sh
# Runs every fuzz target of all modules, one after the other.
#   fuzz.sh [SECONDS]   seconds for each; default 10
# A finding is written to the package's testdata/fuzz. Keep it: it is a test.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

seconds=${1:-10}
case $seconds in
'' | *[!0-9]*) echo "usage: fuzz.sh [SECONDS]" >&2; exit 2 ;;
esac

# fuzz PACKAGE TARGET. A run may fail only because its time was up while the fuzzer
# was busy (then no failing input is written): it is repeated once.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
fuzz() {
	for try in 1 2; do
		(cd "$1" && go test -run '^$' -fuzz "^$2\$" -fuzztime "${seconds}s" -fuzzminimizetime 10x .) >"$out" 2>&1 && {
			tail -n 1 "$out"
			return
		}
		grep -q "context deadline exceeded" "$out" && ! grep -q "Failing input written" "$out" || break
	done
	cat "$out" >&2
	return 1
}

# grep comes first: go test -list would start what other packages' tests need.
for package in $(grep -rl --include='*_test.go' '^func Fuzz' shared functions scripts infra | xargs -n 1 dirname | sort -u); do
	for target in $(cd "$package" && go test -list '^Fuzz' .); do
		case $target in
		Fuzz*) echo "$target" && fuzz "$package" "$target" ;;
		esac
	done
done
