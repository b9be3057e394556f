#!/bin/sh
# Checks the imports of code, not of tests, against scripts/imports.txt.
set -eu
cd "$(dirname "$0")/.."
. scripts/need.sh
need go

for module in $(go list -m -f '{{.Dir}}'); do
	(cd $module && go list -f '{{.ImportPath}} {{join .Imports " "}}' ./...)
done | awk -v rules=scripts/imports.txt '
# matches: p is q itself or below it
function under(p, q) { return p == q || index(p, q "/") == 1 }
function kind(p) { return p in listed ? p : "subwire/shared/PRODUCT" }
function allowed(p, q) { return (kind(p), q) in may || (kind(p), kind(q)) in may }
BEGIN {
	while ((getline line < rules) > 0) {
		if (line ~ /^ *(#|$)/) continue
		n = split(line, w, " ")
		if (w[2] == "may") { for (i = 3; i <= n; i++) may[w[1], w[i]]; listed[w[1]] }
		if (w[2] == "only") { only[w[1]]; for (i = 3; i <= n; i++) users[w[1]] = users[w[1]] " " w[i] }
	}
}
{
	for (i = 2; i <= NF; i++) {
		if ($i ~ /^subwire\/shared\// && $1 ~ /^subwire\/shared\// && !allowed($1, $i)) {
			print $1 " may not import " $i; bad = 1
		}
		for (what in only) if (under($i, what) && !under($1, what)) {
			ok = 0
			n = split(users[what], u, " ")
			for (j = 1; j <= n; j++) if (under($1, u[j])) ok = 1
			if (!ok) { print $1 " may not import " $i; bad = 1 }
		}
	}
}
END { exit bad }' || { echo "import rules are broken (scripts/imports.txt)" >&2; exit 1; }

# Only boot and scripts read the environment.
if grep -rln --include='*.go' --exclude='*_test.go' -E 'os\.(Getenv|LookupEnv|Environ)' shared functions infra | grep -v '^shared/boot/'; then
	echo "only shared/boot and scripts may read the environment" >&2
	exit 1
fi
