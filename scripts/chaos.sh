#!/bin/sh
# The long form of the chaos tests: every scenario in full size, for ten
# minutes together, with seeds that are printed.
#   chaos.sh                                        all
#   chaos.sh -run Killed -chaos.seed 7              one round again
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn
scripts/build.sh local
cd scripts
exec go test -count=1 -v -timeout 40m ./chaos -chaos.long "$@"
