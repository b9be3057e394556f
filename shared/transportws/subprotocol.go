package transportws

import "strings"

// Subprotocol looks for graphql-transport-ws in a Sec-WebSocket-Protocol
// header, whose values are joined by commas when it comes more than once. It
// returns the value to answer with, and false when it was not offered: then
// the upgrade is to be refused, as clients break off at an answer that they
// have not offered. Names are compared case-sensitively (RFC 6455 section
// 11.3.4).
func Subprotocol(header string) (string, bool) {
	for offer := range strings.SplitSeq(header, ",") {
		if strings.Trim(offer, " \t") == Name {
			return Name, true
		}
	}
	return "", false
}
