#!/bin/sh
# Formatting, vet, staticcheck and the import rules, for every module.
set -eu
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	echo "not formatted (make fmt):" >&2
	echo "$unformatted" >&2
	exit 1
fi
for module in $(go list -m -f '{{.Dir}}'); do
	(cd $module && go vet ./... && go run $staticcheck ./...)
done
scripts/imports.sh
