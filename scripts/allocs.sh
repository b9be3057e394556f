#!/bin/sh
# Compares the allocations of the micro-benchmarks with scripts/allocs.txt. It
# fails if they have grown, or if a benchmark is missing on either side. Times
# are ignored. With -update it rewrites the file.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
# With one processor and few rounds the counts repeat, except for goroutines and
# pools: they may take 1 % more.
(cd shared && go test -run '^$' -bench . -skip 'BenchmarkSubscriptions$|BenchmarkHostile|BenchmarkIdle' -benchtime 100x -cpu 1 -benchmem \
	./transportws ./session ./gql ./fanout ./delivery ./apigw ./queue ./dynamo ./chat ./host ./sockets) |
	awk '/^pkg: /{sub(".*/", "", $2); package = $2}
	/^Benchmark/{for (i = 2; i <= NF; i++) if ($i == "allocs/op") printf "%s %s %d\n", package, $1, $(i-1)}' |
	sort >"$counts"
test -s "$counts"

if [ "${1:-}" = -update ]; then
	cp "$counts" scripts/allocs.txt
	exit
fi
awk 'NR == FNR {was[$1 " " $2] = $3; next}
	{name = $1 " " $2
	 if (!(name in was)) {print name " is new, with " $3; failed = 1}
	 else if ($3 > was[name] * 1.01) {print name " allocates " $3 " times, was " was[name]; failed = 1}
	 else if ($3 < was[name] * 0.9) print name " allocates " $3 " times only, was " was[name] ": scripts/allocs.sh -update"
	 delete was[name]}
	END {for (name in was) {print name " is missing"; failed = 1}
	 if (failed) print "allocations have grown; if that must be: scripts/allocs.sh -update"
	 exit failed}' scripts/allocs.txt "$counts" >&2
