// Package sigv4 checks the signatures of requests that were signed with AWS's Signature
// Version 4 ("Create a signed AWS API request" in the IAM User Guide). It does not sign,
// and knows one identity.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer is the one identity whose signatures are good, for the service execute-api.
// Nobody's are if it has no access key or no secret.
type Signer struct{ AccessKey, SecretKey, Region string }

const (
	signatureTime   = "20060102T150405Z"
	signatureDay    = "20060102"
	signedAlgorithm = "AWS4-HMAC-SHA256"
	skew            = 5 * time.Minute // how old or young a signature may be
)

// BodyHash is a request's header with the SHA-256 of its body, in hex.
const BodyHash = "X-Amz-Content-Sha256"

// Verify reports whether the signer has signed the request, whose whole body is given, in
// its Authorization header. As a guess each X-Amz header must be signed, and a signature in
// the query string is none.
func (s Signer) Verify(r *http.Request, body []byte, now time.Time) bool {
	hash := Hash(body)
	return slices.Contains([]string{"", hash}, r.Header.Get(BodyHash)) && s.verify(r, hash, now)
}

// VerifyHead is Verify for a server that trusts nobody with the memory for a body. The
// signature is that of a body with the hash in the header BodyHash: whoever reads the body
// has to compare it. Without the header it is that of an empty body.
func (s Signer) VerifyHead(r *http.Request, now time.Time) (bodyHash string, ok bool) {
	if bodyHash = r.Header.Get(BodyHash); bodyHash == "" {
		bodyHash = Hash(nil)
	}
	return bodyHash, s.verify(r, bodyHash, now)
}

func (s Signer) verify(r *http.Request, hash string, now time.Time) bool {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), signedAlgorithm+" ")
	said := map[string]string{}
	for field := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		said[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(signatureTime, date)
	day := at.Format(signatureDay)
	scope := strings.Join([]string{day, s.Region, "execute-api", "aws4_request"}, "/")
	names := strings.Split(said["SignedHeaders"], ";")
	switch {
	case s.AccessKey == "" || s.SecretKey == "" || !ok || err != nil || now.Sub(at).Abs() > skew,
		said["Credential"] != s.AccessKey+"/"+scope,
		!slices.Contains(names, "host") || !slices.IsSorted(names) || !allSigned(r.Header, names),
		r.Header.Get("X-Amz-Security-Token") != "": // of a session, which the signer has none of
		return false
	}
	query := r.URL.Query()
	for _, values := range query {
		slices.Sort(values)
	}
	request := strings.Join([]string{r.Method, escaped(r.URL.EscapedPath()),
		strings.ReplaceAll(query.Encode(), "+", "%20"), canonicalHeaders(r, names), said["SignedHeaders"], hash}, "\n")
	toSign := strings.Join([]string{signedAlgorithm, date, scope, Hash([]byte(request))}, "\n")
	key := []byte("AWS4" + s.SecretKey)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hmac.Equal([]byte(hex.EncodeToString(key)), []byte(said["Signature"]))
}

// escaped escapes all of a path but its slashes and what AWS calls unreserved characters.
// Package url leaves some others as they are, such as @.
func escaped(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(part), "+", "%20")
	}
	return strings.Join(parts, "/")
}

func allSigned(h http.Header, names []string) bool {
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// canonicalHeaders ends with an empty line.
func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		values := slices.Clone(r.Header.Values(name))
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		for i, value := range values {
			values[i] = strings.Join(strings.Fields(value), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String()
}

// Hash is the SHA-256 of data in hex.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
