#!/bin/sh
# Builds the pages that the graphql function embeds, if anything has changed since the
# last build. Without Node.js it builds nothing: the function then serves a page that
# says so.
set -eu
cd "$(dirname "$0")/../functions/graphql/web"

built=dist/index.html.gz
[ -e $built ] && [ -z "$(find . ../../../shared/js \( -name node_modules -o -name dist -o -name .test \) -prune -o -type f -newer $built -print)" ] && exit 0

. ../../../scripts/need.sh
if ! lacking=$( (need node npm) 2>&1); then
	echo "subwire: the chat and GraphiQL are not built. ${lacking#subwire: }" >&2
	exit 0
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
if ! [ node_modules/.package-lock.json -nt package-lock.json ] && ! npm ci --no-audit --no-fund --loglevel=error >"$said" 2>&1; then
	cat "$said" >&2
	! grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT' "$said" ||
		echo "subwire: npm cannot download; is there a network, and does npm know its proxy?" >&2
	exit 1
fi
npm run --silent build -- --logLevel warn
