#!/bin/sh
# Runs every fuzz target of all modules, one after the other.
#   fuzz.sh [SECONDS]   for so many seconds each; default 10
# A finding is written to the package's testdata/fuzz: keep it, it is a test.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

seconds=${1:-10}
case $seconds in
'' | *[!0-9]*) echo "usage: fuzz.sh [SECONDS]" >&2; exit 2 ;;
esac

# grep comes first: go test -list would also start what other packages' tests need.
for package in $(grep -rl --include='*_test.go' '^func Fuzz' shared functions scripts infra | xargs -n 1 dirname | sort -u); do
	for target in $(cd "$package" && go test -list '^Fuzz' .); do
		case $target in
		Fuzz*) (cd "$package" && go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 10x .) ;;
		esac
	done
done
