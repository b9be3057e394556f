#!/bin/sh
# Builds the functions and starts the local cloud. See scripts/local -help.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn
scripts/build.sh local
go build -o bin/local/cloud ./scripts/local
exec bin/local/cloud "$@"
