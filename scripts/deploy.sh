#!/bin/sh
# Deploys Subwire to the AWS account and region of the environment.
#   deploy.sh bootstrap|deploy|diff|destroy [CDK ARGUMENTS]
# such as -c env=prod. ARCH=amd64 builds and deploys for x86_64.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go node npm

command=${1:-}
case $command in
bootstrap | deploy | diff | destroy) shift ;;
*) echo "usage: deploy.sh bootstrap|deploy|diff|destroy [CDK ARGUMENTS]" >&2; exit 2 ;;
esac
. scripts/infratools.sh
scripts/build.sh release
(cd scripts && GOWORK=off go build -o ../bin/deploycheck ./deploycheck)

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
cd infra

# run runs the CDK and explains an error in one line, if its cause is known. With
# CI set, the CDK writes only errors to its error output.
run() {
	CI=true "$cdk" "$@" 2>"$errors" && return
	../scripts/explain.sh "$1" "$errors" >&2
	exit 1
}

case $command in
bootstrap | destroy) run "$command" -c "arch=${ARCH:-arm64}" -c public=true "$@"; exit ;; # these open nothing
diff) run diff -c "arch=${ARCH:-arm64}" "$@"; exit ;;
esac

# The profile is an option of the CDK; deploycheck takes it from the environment.
previous=
for argument; do
	[ "$previous" != --profile ] || export AWS_PROFILE="$argument"
	case $argument in --profile=*) export AWS_PROFILE="${argument#*=}" ;; esac
	previous=$argument
done

# The template is made once, so what was checked is what is deployed.
out=../.cache/cdk.out/deploy
rm -rf "$out"
run synth --quiet --output "$out" -c "arch=${ARCH:-arm64}" "$@"
../bin/deploycheck before "$out"/*.template.json
run deploy --app "$out" "$@"
../bin/deploycheck after "$out"/*.template.json
