#!/bin/sh
# Tests a newcomer's path: a fresh clone of what is committed, make run with empty caches of Go
# and npm, the README's example, Ctrl-C, a second start. It tells the times and checks the CPU
# time. It needs what scripts/clients.sh installs.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn node npm git curl
cd scripts
SUBWIRE_NEWCOMER=1 GOWORK=off exec go test -v -count=1 -timeout 60m ./newcomer
