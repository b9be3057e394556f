#!/bin/sh
# Builds the documents as a site with search into .cache/site. A link that leads nowhere
# fails the build.
#   SITE_BASE     the site's path on its host (default /)
#   SITE_SOURCE   where the repository's files are read, as https://HOST/OWNER/NAME/blob/main;
#                 without it links to code are plain text
set -eu
cd "$(dirname "$0")/site"
. ../need.sh
need node npm

rm -rf pages
mkdir pages
cp -R ../../docs ../../README.md ../../ARCHITECTURE.md ../../SECURITY.md ../../CONTRIBUTING.md ../../CHANGELOG.md pages
mv pages/README.md pages/index.md
mv pages/docs/README.md pages/docs/index.md
mkdir pages/public
cp ../../llms.txt pages/public
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error
npx vitepress build
