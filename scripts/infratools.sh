# Sourced by the scripts that deploy: installs pinned versions of the CDK command
# line and, with the argument "python", of cfn-lint and MiniStack into .cache,
# unless they are there. Sets $cdk and $venv.
cdk=$PWD/.cache/cdk/node_modules/.bin/cdk
venv=$PWD/.cache/venv

if ! cmp -s infra/package-lock.json .cache/cdk/package-lock.json || [ ! -x "$cdk" ]; then
	mkdir -p .cache/cdk
	cp infra/package.json infra/package-lock.json .cache/cdk/
	(cd .cache/cdk && npm ci --no-audit --no-fund --loglevel=error >&2)
fi
if [ "${1:-}" = python ] && { ! cmp -s infra/requirements.txt "$venv/requirements.txt" || [ ! -x "$venv/bin/cfn-lint" ]; }; then
	python3 -m venv "$venv" || { echo "subwire: python3 cannot make a virtual environment; install Python's venv module and try again" >&2; exit 1; }
	"$venv/bin/pip" install --quiet --disable-pip-version-check -r infra/requirements.txt
	cp infra/requirements.txt "$venv/"
fi
