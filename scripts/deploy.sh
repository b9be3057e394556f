#!/bin/sh
# Deploys Subwire to the AWS account and region of the environment.
#   deploy.sh bootstrap|deploy|diff|destroy [CDK ARGUMENTS]
# such as -c env=prod. ARCH=amd64 builds and deploys for x86_64, PRODUCT=FOLDER the product
# of that folder (product.sh). A deployment that would end stored subscriptions or take away a
# host that has sockets, or of which that is not known, needs FORCE=1.
# Progress goes to the output and errors to the error output, each event a line. It exits with
# 0 when it is done, 1 when something failed, with the reason as the last line if it is known,
# and 2 if it is misused. Without a terminal it asks nothing: it deploys changes of permissions
# unseen, and destroys only with --force.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go node npm

command=${1:-}
case $command in
bootstrap | deploy | diff | destroy) shift ;;
*) echo "usage: deploy.sh bootstrap|deploy|diff|destroy [CDK ARGUMENTS]" >&2; exit 2 ;;
esac

# The profile is an option of the CDK; deploycheck takes it from the environment.
previous= decided= approve=
for argument; do
	[ "$previous" != --profile ] || export AWS_PROFILE="$argument"
	case $argument in
	--profile=*) export AWS_PROFILE="${argument#*=}" ;;
	--require-approval | --require-approval=*) [ "$command" = destroy ] || decided=yes ;;
	--force | -f) [ "$command" = deploy ] || decided=yes ;; # of deploy it means something else
	esac
	previous=$argument
done
if [ -z "$decided" ] && ! { [ -t 0 ] && [ -t 1 ]; }; then
	case $command in
	deploy)
		echo "subwire: there is no terminal, so changes of permissions are deployed without asking" >&2
		approve='--require-approval never' ;;
	destroy) echo "subwire: there is no terminal to ask at; destroy with --force" >&2; exit 2 ;;
	esac
fi

. scripts/infratools.sh
scripts/build.sh release
. scripts/product.sh
(cd scripts && GOWORK=$SUBWIRE_WORK go build -o "$home/bin/deploycheck" ./deploycheck)

told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
mkfifo "$told/pipe"
cd infra

# run runs the CDK, shows all that it says, and explains a failure whose cause is known. With
# CI set, the CDK writes only errors to its error output.
run() {
	failed=
	tee "$told/errors" <"$told/pipe" >&2 &
	CI=true "$cdk" "$@" 2>"$told/pipe" || failed=yes
	wait $!
	[ -n "$failed" ] || return 0
	../scripts/explain.sh "$1" "$told/errors" >&2
	exit 1
}

case $command in
# These two make nothing that could be open, or of which somebody should hear.
bootstrap) run bootstrap -c "arch=${ARCH:-arm64}" -c "assets=$home/bin" -c public=true -c alarms=off "$@"; exit ;;
destroy) run destroy --progress events -c "arch=${ARCH:-arm64}" -c "assets=$home/bin" -c public=true -c alarms=off "$@"; exit ;;
diff) run diff -c "arch=${ARCH:-arm64}" -c "assets=$home/bin" "$@"; exit ;;
esac

# The template is made once, so what was checked is what is deployed.
out=$home/.cache/cdk.out/deploy
rm -rf "$out"
run synth --quiet --output "$out" -c "arch=${ARCH:-arm64}" -c "assets=$home/bin" "$@"
"$home/bin/deploycheck" before "$out"/*.template.json
"$home/bin/deploycheck" stored "$out"/*.template.json || [ "${FORCE:-}" = 1 ] || {
	echo "subwire: nothing was deployed; FORCE=1 deploys all the same" >&2
	exit 1
}
run deploy --progress events $approve --app "$out" "$@"
"$home/bin/deploycheck" after "$out"/*.template.json
