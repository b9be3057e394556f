# Sourced by the other scripts. need TOOL... ends the script unless all are there and new
# enough, with one line that says what to install.

# look TOOL sets what (its name for people), oldest (MAJOR.MINOR, "" for any) and, if it is
# there and says so, found (likewise).
look() {
	what=$1 oldest= found=
	case $1 in
	go) what=Go oldest=1.26 found=$(go version 2>/dev/null || GOTOOLCHAIN=local go version 2>/dev/null) || : ;;
	java) what=Java oldest=17.0 found=$(java -version 2>&1 | sed -n 's/.*version "\([0-9.]*\).*/\1.0/p') ;;
	mvn) what="Apache Maven" oldest=3.6 found=$(mvn --version 2>/dev/null | sed -n 's/.*Apache Maven \([0-9.]*\).*/\1/p') ;;
	node) what=Node.js oldest=20.19 found=$(node --version 2>/dev/null) || : ;; # what Vite 8 and its bundler need
	npm) what="npm (it comes with Node.js)" ;;
	python3) what=Python oldest=3.11 found=$(python3 --version 2>&1) || : ;;
	openssl) what=OpenSSL ;;
	esac
	found=$(expr "$found" : '[^0-9]*\([0-9]*\.[0-9]*\)') || found=
	case $1:$found in node:21.* | node:22.[0-9] | node:22.1[01]) oldest=22.12 ;; esac
}

# older A B: whether the version A comes before B.
older() { [ "${1%%.*}" -lt "${2%%.*}" ] || { [ "${1%%.*}" -eq "${2%%.*}" ] && [ "${1#*.}" -lt "${2#*.}" ]; }; }

need() {
	missing=
	for tool in "$@"; do
		look "$tool"
		here=
		if command -v "$tool" >/dev/null 2>&1; then
			[ -n "$oldest" ] && [ -n "$found" ] && older "$found" "$oldest" || continue
			here=" (here is ${found%.0})"
		fi
		missing="$missing${missing:+, }$what${oldest:+ ${oldest%.0} or newer}$here"
	done
	[ -z "$missing" ] || { echo "subwire: install $missing; then try again" >&2; exit 1; }
}
