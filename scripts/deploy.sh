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

# With CI set, the CDK writes only errors to its error output.
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
cd infra
CI=true "$cdk" "$command" -c "arch=${ARCH:-arm64}" "$@" 2>"$errors" && exit 0

case $(cat "$errors") in
*"subwire:"*) sed -n 's/.*\(subwire: .*\)/\1/p' "$errors" >&2 ;;
*"Unable to resolve AWS account"* | *"no credentials"* | *"Could not load credentials"* | *[Cc]"redentials"*"invalid"* | *"security token"* | *"ExpiredToken"*)
	echo "subwire: no valid AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION" >&2 ;;
*"bootstrap"*)
	echo "subwire: the CDK was never set up in this account and region; run scripts/deploy.sh bootstrap once" >&2 ;;
*) cat "$errors" >&2 ;;
esac
exit 1
