#!/bin/sh
# Builds every function as a Lambda bootstrap binary, and the embedded pages.
#   build.sh release   linux/arm64 (ARCH=amd64 for x86_64) into bin/FUNCTION/bootstrap
#   build.sh local     this machine's into bin/local/FUNCTION/bootstrap
# GOWORK=off: a workspace could pick other versions than functions/go.mod.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

case ${1:-release} in
release) out=../bin; export GOOS=linux GOARCH="${ARCH:-arm64}" ;;
local) out=../bin/local ;;
*) echo "usage: build.sh release|local" >&2; exit 2 ;;
esac

scripts/buildweb.sh
cd functions
for main in */main.go; do
	fn=${main%/main.go}
	GOWORK=off CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o "$out/$fn/bootstrap" "./$fn"
done
# The documents for -c trustedDocuments=true (subwire trust writes them).
for fn in message graphql; do
	rm -f "$out/$fn/operations.json"
	[ ! -f ../operations.json ] || cp ../operations.json "$out/$fn/"
done
