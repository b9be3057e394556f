#!/bin/sh
# Builds the pages that the graphql function embeds, if anything has changed
# since the last build. Without Node.js it builds nothing: the function then
# serves a page that says so.
set -eu
cd "$(dirname "$0")/../functions/graphql/web"

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
	echo "subwire: Node.js is not installed; the chat and GraphiQL are not built" >&2
	exit 0
fi
built=dist/index.html.gz
[ -e $built ] && [ -z "$(find . \( -name node_modules -o -name dist -o -name .test \) -prune -o -type f -newer $built -print)" ] && exit 0

[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error
npm run --silent build -- --logLevel warn
