# Sourced by the other scripts. need TOOL... ends the script if a tool is missing,
# with one line that says what to install.
need() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null 2>&1 && continue
		case $tool in
		go) what="Go 1.26 or newer" ;;
		java) what="Java 17 or newer (a JRE is enough)" ;;
		mvn) what="Apache Maven 3.8 or newer" ;;
		node | npm) what="Node.js 20 or newer with npm" ;;
		python3) what="Python 3.11 or newer" ;;
		openssl) what="OpenSSL" ;;
		*) what=$tool ;;
		esac
		echo "subwire: $tool is not installed; install $what and try again" >&2
		exit 1
	done
}
