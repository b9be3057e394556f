#!/bin/sh
# Checks the template: the app's own tests, then cfn-lint on the output of the
# CDK command line.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go node npm python3
set -- python
. scripts/infratools.sh

(cd infra && GOWORK=off go vet ./... && GOWORK=off go build -o ../bin/infra . && GOWORK=off go test -count=1 ./...)

# The functions as built for this machine: their code does not matter here.
[ -x bin/local/canary/bootstrap ] || scripts/build.sh local
cd infra
events="eventPattern={\"source\":[\"com.example.couriers\"]} eventTopics=arn:aws:sns:eu-west-1:123456789012:couriers"
for switches in "env=dev" \
	"app=shop inputs=true publishers=arn:aws:iam::123456789012:role/tracker $events" \
	"env=test small=true canaryEvery=5 alarms=ops@example.com" \
	"env=prod public=true alarms=ops@example.com owner=team budget=100 maxReads=1000 maxWrites=1000 account=123456789012 region=eu-west-1 reserve=false tracing=true accessLogs=true httpDomain=api.example.com certificate=arn:aws:acm:eu-west-1:123456789012:certificate/1" \
	"env=hosted host=fargate alarms=ops@example.com" "env=emptied host=fargate hostTasks=0" \
	"env=live production=true public=true alarms=ops@example.com host=fargate hostDomain=sockets.example.com hostCertificate=arn:aws:acm:eu-west-1:123456789012:certificate/2 clients=host hostTasks=3 hostMostTasks=30 account=123456789012 region=eu-west-1"; do
	set -- -c "arch=$(go env GOARCH)" -c assets=../bin/local
	for switch in $switches; do
		set -- "$@" -c "$switch"
	done
	out=../.cache/cdk.out/${switches%% *}
	CI=true "$cdk" synth --quiet --app ../bin/infra --output "$out" "$@"
	"$venv/bin/cfn-lint" --ignore-checks W3005 -- "$out"/*.template.json # W3005: the CDK writes DependsOn that references imply
done
echo "cfn-lint: no complaint"
