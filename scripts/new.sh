#!/bin/sh
# Makes a product of shared/products/sample.
#   new.sh NAME        shared/NAME, and adds it to the list of products
#   new.sh NAME DIR    a Go module in the new folder DIR, and changes nothing here
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go
name=${1:-} dir=${2:-} list=shared/products/list.go

refuse() { echo "make new NAME=games: $*" >&2; exit 2; }
case $name in
'' | [!a-z]* | *[!a-z0-9]*) refuse "a name has lower case letters and digits, and begins with a letter" ;;
esac
at=${dir:-shared/$name}
[ ! -e "$at" ] || refuse "$at exists"

before=$(mktemp)
trap 'rm -f "$before"' EXIT
cp $list "$before"
mkdir "$at"
for file in sample.go sample_test.go; do
	sed "s/sample/$name/g" "shared/products/sample/$file" >"$at/$name${file#sample}"
done

if [ -z "$dir" ]; then
	awk -v name="$name" '
	/^\t"subwire\/shared\/subwire"$/ { print "\t\"subwire/shared/" name "\"" }
	/^var all / { listing = 1 }
	listing && /^}/ { print "\tfunc() *subwire.App { return " name ".New().App },"; listing = 0 }
	{ print }' "$before" >$list
else
	here=$PWD
	there=$(cd "$dir/.." && pwd)
	if [ "$there" = "$(dirname "$here")" ]; then # neighbours may move together
		here=../${here##*/}
	fi
	printf '/bin/\n/.cache/\n' >"$dir/.gitignore"
	cat >"$dir/README.md" <<-EOF
		# $name
		A product of Subwire, whose checkout is \`$here\` (go.mod says so, too).
		- Test: \`go test ./...\`
		- Run on this machine: \`make -C $here run PRODUCT=\$PWD\`; the tool is then \`bin/local/subwire\`
		- Deploy: \`make -C $here deploy PRODUCT=\$PWD ARGS='-c env=dev'\`
	EOF
	cp shared/go.sum "$dir/"
	goversion=$(cd shared && GOWORK=off go list -m -f '{{.GoVersion}}')
	cmp=$(cd shared && GOWORK=off go list -m -f '{{.Path}}@{{.Version}}' github.com/google/go-cmp)
	(
		cd "$dir"
		export GOWORK=off
		go mod init "example.com/$name" 2>/dev/null
		go mod edit "-go=$goversion" "-require=$cmp" -require=subwire/shared@v0.0.0 "-replace=subwire/shared=$here/shared"
	)
	PRODUCT=$dir
fi

# The name may be a word of Go, or too long.
check() {
	[ -z "$dir" ] || (cd "$dir" && GOWORK=off go mod tidy && GOWORK=off go test ./...) || return
	. scripts/product.sh
	cd shared && go test ./products
}
if ! out=$(gofmt -w "$at" $list 2>&1 && check 2>&1); then
	cp "$before" $list
	rm -r "$at"
	echo "$out" >&2
	refuse "no product can be called $name"
fi
if [ -n "$dir" ]; then
	echo "$dir is a product. Run it: make run PRODUCT=$dir"
else
	echo "$at is a product. Run it: make run APP=$name"
fi
