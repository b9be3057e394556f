# Sourced by the scripts that build. With PRODUCT=FOLDER, a product in a repository of its
# own, what they build has that product alone, and lies in the folder. FOLDER is a Go
# module whose package New makes the product, as make new writes it. Sets
#   home           where bin and .cache are
#   SUBWIRE_WORK   GOWORK for modules that otherwise build on their own
home=$PWD SUBWIRE_WORK=off
if [ -n "${PRODUCT:-}" ]; then
	home=$(cd "$PRODUCT" 2>/dev/null && pwd) && [ -f "$home/go.mod" ] ||
		{ echo "subwire: PRODUCT=$PRODUCT is no folder with a go.mod; make new NAME=games DIR=... makes one" >&2; exit 1; }
	module=$(cd "$home" && GOWORK=off go list -m)
	mkdir -p "$home/.cache/work" "$PWD/.cache/jars"
	[ -d "$home/.cache/jars" ] || ln -sfn "$PWD/.cache/jars" "$home/.cache/jars"
	SUBWIRE_WORK=$home/.cache/work/go.work
	# The list of products is replaced while it is compiled, so nothing changes here.
	printf 'package products\n\nimport (\n\tproduct "%s"\n\n\t"subwire/shared/subwire"\n)\n\nvar all = %s\n' "$module" \
		'[]func() *subwire.App{func() *subwire.App { return product.New().App }}' >"$home/.cache/work/list.go"
	printf '{"Replace": {"%s": "%s"}}\n' "$PWD/shared/products/list.go" "$home/.cache/work/list.go" \
		>"$home/.cache/work/overlay.json"
	export GOFLAGS="${GOFLAGS:-} '-overlay=$home/.cache/work/overlay.json'" GOWORK="$SUBWIRE_WORK"
	rm -f "$GOWORK"
	go work init "$PWD/shared" "$PWD/functions" "$PWD/infra" "$PWD/scripts" "$PWD/scripts/bench" "$home"
	go work edit "-replace=subwire/shared@v0.0.0=$PWD/shared" # its go.mod may name another checkout
	cp go.work.sum "$GOWORK.sum"
fi
export SUBWIRE_WORK
