package transportws

import "strings"

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
