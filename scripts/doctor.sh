#!/bin/sh
# Says what is in the way of a deployment with these switches of the CDK (-c KEY=VALUE), or,
# with --stack NAME or --local, what is wrong with one that runs. See subwire doctor --help.
# ARCH and PRODUCT are as for deploy.sh.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go
. scripts/product.sh
(cd scripts && GOWORK=$SUBWIRE_WORK go build -o "$home/bin/subwire" ./subwire)
case " $* " in
*" --stack"* | *" --local "* | *" --help "*) exec "$home/bin/subwire" doctor "$@" ;;
esac
exec "$home/bin/subwire" doctor -c "arch=${ARCH:-arm64}" -c "assets=$home/bin" "$@"
