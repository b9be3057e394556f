#!/bin/sh
# Everything that must hold before a change lands.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go java mvn node npm python3 curl git

# Many tests read what lies outside of their module, such as documents and built functions. A
# result that Go has kept knows nothing of those.
gotest() { GOWORK=off go test -count=1 -timeout 30m "$@"; }

step() { printf '\n== %s\n' "$*"; }

step "lint"
scripts/lint.sh

step "build"
scripts/build.sh local

step "infrastructure"
scripts/testinfra.sh

step "clients"
scripts/clients.sh
(cd scripts/bench/peers && npm ci --no-audit --no-fund --loglevel=error)

step "a newcomer's path"
scripts/newcomer.sh

# The reference is graphql-js, from the packages of the clients.
step "the language, compared with graphql-js"
(cd scripts && gotest ./langdiff)

# The audits of graphql-http must run, as the clients are installed.
step "each module on its own (GOWORK=off)"
for module in shared functions; do
	(cd $module && SUBWIRE_AUDIT=1 gotest ./...)
done

step "allocations"
scripts/allocs.sh

# The store's and the pipeline's tests need DynamoDB Local and ElasticMQ, which
# withbackend starts for them.
step "race detector, with DynamoDB Local and ElasticMQ"
(cd shared && go run ../scripts/withbackend go test -count=1 -race -timeout 30m ./...)
(cd scripts && gotest -race $(GOWORK=off go list ./... | grep -v -e /chaos -e /e2e -e /langdiff))
(cd scripts/bench && gotest -race ./...)

# Alone and without the race detector: the emulators are in their process, and ten
# times slower they would dominate the tests.
step "the whole pipeline"
(cd scripts && gotest ./e2e)

# Without what does not differ: notOnHost in scripts/e2e says what, and why.
step "the whole pipeline, with sockets held by hosts"
(cd scripts && SUBWIRE_HOST=1 gotest ./e2e)

step "faults at random"
(cd scripts && gotest ./chaos)
