#!/bin/sh
# Builds every function as a Lambda bootstrap binary, and the embedded pages.
#   build.sh release             linux/arm64 (ARCH=amd64 for x86_64) into bin/FUNCTION/bootstrap
#   build.sh local               this machine's into bin/local/FUNCTION/bootstrap
#   build.sh local PROGRAM...    these alone, without the pages: functions, or commands of
#                                scripts, which get into bin/local
#   build.sh tools               subwire, where go install puts programs
# With PRODUCT=FOLDER they are that product's, in its bin (product.sh). Without, GOWORK is
# off: a workspace could pick other versions than functions/go.mod.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go
. scripts/product.sh

what=${1:-release}
[ $# = 0 ] || shift
case $what in
release) out=$home/bin; export GOOS=linux GOARCH="${ARCH:-arm64}" ;;
local) out=$home/bin/local ;;
tools)
	out=$(go env GOBIN)
	out=${out:-$(go env GOPATH | cut -d : -f 1)/bin}
	set -- subwire ;;
*) echo "usage: build.sh release|local|tools [PROGRAM ...]" >&2; exit 2 ;;
esac

functions= commands=
for program; do
	if [ -d "functions/$program" ]; then functions="$functions $program"; else commands="$commands $program"; fi
done
if [ $# = 0 ]; then
	scripts/buildweb.sh
	functions=$(cd functions && for main in */main.go; do echo "${main%/main.go}"; done)
fi

# compile MODULE OUT PACKAGE... compiles all at once, and all with the same flags: what one has
# in common with another is compiled once. What is stripped needs no debug information; without
# it the code is the same, and made in a sixth less time. So it is again when the compiler
# collects garbage less often, for some memory.
compile() (
	into=$2
	cd "$1"
	shift 2
	GOGC=${GOGC:-400} GOWORK=$SUBWIRE_WORK CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags lambda.norpc \
		-gcflags all=-dwarf=false -ldflags '-s -w' -o "$into/" "$@"
)

if [ -n "$functions" ]; then
	compile functions "$out/.programs" $(printf './%s ' $functions)
	for fn in $functions; do
		mkdir -p "$out/$fn"
		ln -f "$out/.programs/$fn" "$out/$fn/bootstrap" # the compiler looks for its own file, to leave it if it is new
		# The documents for -c trustedDocuments=true (subwire trust writes them).
		case $fn in message | graphql | host) ;; *) continue ;; esac
		rm -f "$out/$fn/operations.json"
		[ ! -f "$home/operations.json" ] || cp "$home/operations.json" "$out/$fn/"
	done
fi
[ -z "$commands" ] || compile scripts "$out" $(printf './%s ' $commands)
