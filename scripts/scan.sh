#!/bin/sh
# Looks for secrets in the whole history, and for known vulnerabilities in what
# the code calls. The vulnerability database is on a separate host: without it the
# script skips that half and says so. Both tools come as Go modules.
set -eu
gitleaks=github.com/zricethezav/gitleaks/v8@v8.30.1
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0
cd "$(dirname "$0")/.."
. scripts/need.sh
need go git

GOWORK=off go run $gitleaks git --no-banner --redact -v --config scripts/gitleaks.toml .

out=$(mktemp)
trap 'rm -f "$out"' EXIT
for module in $(go list -m -f '{{.Dir}}'); do
	if (cd $module && GOWORK=off go run $govulncheck ./...) >"$out" 2>&1; then
		echo "no known vulnerability: ${module##*/}"
	elif grep -q 'fetching vulnerabilities' "$out"; then
		echo "NOT CHECKED for known vulnerabilities: the database cannot be reached" >&2
		break
	else
		cat "$out" >&2
		exit 1
	fi
done
