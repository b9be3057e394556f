#!/bin/sh
# Deploys the infrastructure to an emulator of AWS on this machine, with IAM
# enforced, and uses, changes and destroys it. Nothing is left running.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go node npm python3 openssl curl
set -- python
. scripts/infratools.sh
scripts/build.sh local
(cd infra && GOWORK=off go build -o ../bin/infra .)
cd scripts
SUBWIRE_DEPLOY=1 GOWORK=off exec go test -v -count=1 -timeout 30m ./deploy
