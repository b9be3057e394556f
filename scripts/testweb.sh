#!/bin/sh
# Tests the pages in Debian's Chromium against their own local cloud. Screenshots
# are left in .cache/web.
#   testweb.sh [TEST.mjs ...]   default all
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn node npm

find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
if ! CHROMIUM=$(find_chromium); then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "subwire: Chromium is not installed; install it (apt-get install chromium) and try again" >&2
		exit 1
	fi
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >/dev/null
	CHROMIUM=$(find_chromium)
fi
export CHROMIUM

scripts/build.sh local
scripts/build.sh local subwire
(cd functions/graphql/web && npm test --silent)
cd scripts/web
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error
[ $# -gt 0 ] || set -- *.test.mjs
exec node --test --test-concurrency=1 --test-reporter=spec "$@"
