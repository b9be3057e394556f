#!/bin/sh
# Makes a product, shared/NAME, of shared/products/sample, and adds it to the list of
# products.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go
name=${1:-} list=shared/products/products.go

refuse() { echo "make new NAME=games: $*" >&2; exit 2; }
case $name in
'' | [!a-z]* | *[!a-z0-9]*) refuse "a name has lower case letters and digits, and begins with a letter" ;;
esac
[ ! -e "shared/$name" ] || refuse "shared/$name exists"

before=$(mktemp)
trap 'rm -f "$before"' EXIT
cp $list "$before"
mkdir "shared/$name"
for file in sample.go sample_test.go; do
	sed "s/sample/$name/g" "shared/products/sample/$file" >"shared/$name/$name${file#sample}"
done
awk -v name="$name" '
/^\t"subwire\/shared\/subwire"$/ { print "\t\"subwire/shared/" name "\"" }
/^var all / { listing = 1 }
listing && /^}/ { print "\tfunc() *subwire.App { return " name ".New().App },"; listing = 0 }
{ print }' "$before" >$list

# The name may be a word of Go, that of another package in the list, or too long.
if ! out=$(cd shared && gofmt -w "$name" products/products.go 2>/dev/null && go test ./products 2>&1); then
	cp "$before" $list
	rm -r "shared/$name"
	echo "$out" >&2
	refuse "no product can be called $name"
fi
echo "shared/$name is a product. Run it: make run APP=$name"
