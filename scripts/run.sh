#!/bin/sh
# Builds the functions and starts the local cloud. See subwire local --help. With
# PRODUCT=FOLDER it runs that product, see product.sh.
set -eu
trap 'exit 0' INT TERM # Ctrl-C is no failure
cd "$(dirname "$0")/.."
. scripts/need.sh
# Maven fetches the servers, once.
if ls .cache/jars/*/elasticmq >/dev/null 2>&1; then need go java; else need go java mvn; fi
scripts/build.sh local prepare
"${PRODUCT:-.}/bin/local/prepare"
. scripts/product.sh
echo "4/4 starting"
trap - INT TERM
exec "$home/bin/local/localcloud" local --root "$home" "$@"
