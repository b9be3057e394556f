// Package edge tells requests that came through the owner's CloudFront from those that
// went around it, and knows the viewer's address of the former. It reads no request.
package edge

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
)

// Headers that CloudFront adds to a request. The secret is a custom header of the
// origin, which replaces a viewer's header of that name ("Add custom headers to origin
// requests"). The address comes from its origin request policy ("Add CloudFront request
// headers").
const (
	SecretHeader  = "X-Edge-Secret"
	AddressHeader = "CloudFront-Viewer-Address"
)

// Guard knows the digests of the secret, two while it changes. The zero Guard is for a
// deployment without CloudFront: it admits everybody.
type Guard struct{ digests [][]byte }

// Parse returns the guard for a SHA-256 in hex digits, or two with a comma between them, or
// the zero one for "". A digest reveals nothing of a randomly made secret.
func Parse(text string) (g Guard, err error) {
	if text == "" {
		return Guard{}, nil
	}
	for digest := range strings.SplitSeq(text, ",") {
		raw, err := hex.DecodeString(digest)
		if err != nil || len(raw) != sha256.Size || len(g.digests) == 2 {
			return Guard{}, errors.New("it must be a SHA-256 in hex digits, or two with a comma between them")
		}
		g.digests = append(g.digests, raw)
	}
	return g, nil
}

// On reports whether the deployment is behind CloudFront.
func (g Guard) On() bool { return g.digests != nil }

// Admits reports whether a request came through CloudFront, or need not, by the value
// of its SecretHeader ("" if absent).
func (g Guard) Admits(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	admitted := !g.On()
	for _, digest := range g.digests {
		admitted = subtle.ConstantTimeCompare(sum[:], digest) == 1 || admitted
	}
	return admitted
}

// Address returns the address of an admitted request's viewer. API Gateway sees that of
// CloudFront's edge; the header has IP:PORT, without brackets for IPv6.
func (g Guard) Address(source, header string) string {
	ip := header[:max(0, strings.LastIndexByte(header, ':'))]
	if _, err := netip.ParseAddr(ip); !g.On() || err != nil {
		return source
	}
	return ip
}
