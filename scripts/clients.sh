#!/bin/sh
# Installs the clients of scripts/clients, and what tests shared/js: npm packages there,
# all others into .cache/clients, side by side. It keeps what is already there.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn node npm python3
built=$PWD/.cache/clients
mkdir -p "$built"

javascript() (
	cd scripts/clients
	npm ci --no-audit --no-fund --loglevel=error
	cd types
	npm ci --no-audit --no-fund --loglevel=error
	cd ../../../shared/js
	npm ci --no-audit --no-fund --loglevel=error
)

gql() {
	cmp -s scripts/clients/gql/requirements.txt "$built/gql/requirements.txt" && return
	python3 -m venv --clear "$built/gql"
	"$built/gql/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
		-r scripts/clients/gql/requirements.txt
	cp scripts/clients/gql/requirements.txt "$built/gql/"
}

genqlient() (
	cd scripts/clients/genqlient
	GOWORK=off go vet .
	GOWORK=off go build -o "$built/genqlient" .
)

jvm() (
	cd scripts/clients/jvm
	sources=$(cat pom.xml src/* | cksum)
	[ "$sources" != "$(cat "$built/jvm/sources" 2>/dev/null)" ] || return 0
	rm -rf "$built/jvm"
	mvn --batch-mode --quiet --strict-checksums package
	echo "$sources" >"$built/jvm/sources"
)

rust() (
	if ! command -v cargo >/dev/null 2>&1; then
		echo "cargo is not installed: graphql-ws-client, the client for Rust, is not tested"
		return
	fi
	cd scripts/clients/rust
	CARGO_TARGET_DIR=$built/rust cargo build --quiet --locked
)

pids=
for client in javascript gql genqlient jvm rust; do
	(set -e; $client) &
	pids="$pids $!"
done
failed=0
for pid in $pids; do
	wait "$pid" || failed=1
done
exit $failed
