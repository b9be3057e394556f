#!/bin/sh
# The long form of the chaos tests: every scenario in full size, a quarter of
# an hour in total. The seeds are printed.
#   chaos.sh                                        all
#   chaos.sh -run Killed/shop -chaos.seed 7         one round again
#   chaos.sh -busy                                  all, while another process keeps a core busy
#   chaos.sh -chaos.log FOLDER                      also keep the functions' logs, one file per round
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn
if [ "${1-}" = -busy ]; then
	shift
	set -- -chaos.busy "$@"
fi
scripts/build.sh local
cd scripts
exec go test -count=1 -v -timeout 60m ./chaos -chaos.long "$@"
