// Package edge tells requests that came through the owner's CloudFront from those
// that went around it, and knows the viewer's address of the former. It reads no
// request.
package edge

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
)

// The headers that CloudFront adds to a request: the secret as a custom header of
// the origin, which replaces what a viewer sends by its name ("Add custom headers
// to origin requests"), the address by its origin request policy ("Add CloudFront
// request headers").
const (
	SecretHeader  = "X-Edge-Secret"
	AddressHeader = "CloudFront-Viewer-Address"
)

// Guard knows the digest of the secret. The zero Guard is of a deployment that
// stands in the open: whoever comes is let in.
type Guard struct{ digest []byte }

// Parse returns the guard for a SHA-256 in hex digits, the zero one for "". A
// digest tells nothing of a secret that was made at random.
func Parse(digest string) (Guard, error) {
	if digest == "" {
		return Guard{}, nil
	}
	raw, err := hex.DecodeString(digest)
	if err != nil || len(raw) != sha256.Size {
		return Guard{}, errors.New("it must be a SHA-256 in hex digits")
	}
	return Guard{raw}, nil
}

// On reports whether the deployment stands behind CloudFront.
func (g Guard) On() bool { return g.digest != nil }

// Admits reports whether a request with the value of its SecretHeader, "" without,
// came through CloudFront, or need not.
func (g Guard) Admits(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return g.digest == nil || subtle.ConstantTimeCompare(sum[:], g.digest) == 1
}

// Address returns the address of an admitted request's viewer. API Gateway sees
// that of CloudFront's edge; the header has IP:PORT, without brackets for IPv6.
func (g Guard) Address(source, header string) string {
	ip := header[:max(0, strings.LastIndexByte(header, ':'))]
	if _, err := netip.ParseAddr(ip); g.digest == nil || err != nil {
		return source
	}
	return ip
}
