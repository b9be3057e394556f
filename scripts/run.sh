#!/bin/sh
# Builds the functions and starts the local cloud. See subwire local --help.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn
scripts/build.sh local
go build -o bin/local/subwire ./scripts/subwire
exec bin/local/subwire local "$@"
