package transportws

import "strings"

// bearer begins a subprotocol that carries a token: a browser can send none in a header
// of its own. The characters of a JSON Web Token are allowed in one (RFC 6455 section 4.1,
// RFC 7230 section 3.2.6).
const bearer = "bearer."

// Tokens returns what follows "bearer." in each offer that begins so. No answer names
// these.
func Tokens(header string) (tokens []string) {
	for offer := range strings.SplitSeq(header, ",") {
		if token, ok := strings.CutPrefix(strings.Trim(offer, " \t"), bearer); ok {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// Subprotocol looks for graphql-transport-ws in a Sec-WebSocket-Protocol header, with
// repeated headers joined by commas. It returns the value to answer with, and false
// when it was not offered. Then the upgrade must be refused: clients break off at an
// answer that they have not offered. Names are case-sensitive (RFC 6455 section
// 11.3.4).
func Subprotocol(header string) (string, bool) {
	for offer := range strings.SplitSeq(header, ",") {
		if strings.Trim(offer, " \t") == Name {
			return Name, true
		}
	}
	return "", false
}
