#!/bin/sh
# Measures. See docs/performance.md.
#   bench.sh                       the short form of every command, in five minutes at most
#   bench.sh COMMAND [flags]       one command; bench.sh COMMAND -help lists its flags
#   bench.sh figures [-count N]    the long form, half an hour for each of N: rewrites docs/performance/*.json,
#                                  *.svg, and the tables and numbers of README.md, SECURITY.md and docs/
#   bench.sh costs                 the part of it that needs no quiet machine: models, and what is counted
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn node npm
scripts/build.sh local
go build -o bin/local/bench ./scripts/bench
(cd scripts/bench/peers && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error; })
bench=bin/local/bench

figure() { # NAME COMMAND [flags]: as the page shows it
	name=$1
	shift
	echo "== $name: bench $*" >&2
	$bench "$@" -json "$out/$name.json" -svg "$out/$name.svg" >/dev/null
}

model() { # NAME COMMAND [flags]: a figure without a plot
	name=$1
	shift
	echo "== $name: bench $*" >&2
	$bench "$@" -json "$out/$name.json" >/dev/null
}

costs() {
	figure cost cost -check 1,10,100,1000
	figure storm storm
	figure topic topic
	figure ways ways
	model idle idle
	model windows windows
	model abuse abuse -times 3
}

out=docs/performance
case ${1:-short} in
short)
	$bench sender -slices 2
	$bench sender -slow 1 -slices 2
	$bench plan -subscribers 1,100,1000,10000,100000
	$bench cold
	$bench pipeline -connections 100,500 -duration 8s
	$bench cost
	$bench peers -subscribers 100 -events 10
	$bench hosts -sockets 1000 -slice 2s
	$bench storm
	$bench quota -targets 100000
	$bench topic -subscribers 2000 -duration 3s
	;;
costs)
	costs
	$bench document
	;;
figures)
	shift
	mkdir -p $out
	figure sender sender "$@"
	figure growth sender -targets 1,10,100,1000,10000,100000,1000000 "$@"
	figure slow sender -slow 1 -slices 5 "$@"
	figure plan plan "$@"
	figure cold cold "$@"
	figure pipeline pipeline -connections 100,500,2000 -rate 2 -duration 20s "$@"
	figure forecast pipeline -connections 100 -rate 2 -duration 60s -aws
	figure peers peers "$@"
	figure hosts hosts "$@"
	figure deflate deflate "$@"
	figure quota quota
	costs
	model victims victims
	$bench document
	;;
*) exec $bench "$@" ;;
esac
