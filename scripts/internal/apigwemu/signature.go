package apigwemu

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

	"github.com/aws/aws-lambda-go/events"
)

// Signer is the one identity whose requests reach a route with IAM.
type Signer struct{ AccessKey, SecretKey, Region string }

const (
	signatureTime   = "20060102T150405Z"
	signatureDay    = "20060102"
	signedAlgorithm = "AWS4-HMAC-SHA256"
	skew            = 5 * time.Minute // how old or young a signature may be
)

// signed reports whether the signer has signed the request in its Authorization header, as
// in "Create a signed AWS API request" of the IAM User Guide. As a guess each X-Amz header
// must be signed, and a signature in the query string is none.
func (s Signer) signed(r *http.Request, body []byte, now time.Time) bool {
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
	hash := hexHash(body)
	switch {
	case s.AccessKey == "" || !ok || err != nil || now.Sub(at).Abs() > skew || said["Credential"] != s.AccessKey+"/"+scope,
		!slices.Contains(names, "host") || !slices.IsSorted(names) || !allSigned(r.Header, names),
		!slices.Contains([]string{"", hash}, r.Header.Get("X-Amz-Content-Sha256")),
		r.Header.Get("X-Amz-Security-Token") != "": // of a session, which the signer has none of
		return false
	}
	query := r.URL.Query()
	for _, values := range query {
		slices.Sort(values)
	}
	request := strings.Join([]string{r.Method, (&url.URL{Path: r.URL.EscapedPath()}).EscapedPath(),
		strings.ReplaceAll(query.Encode(), "+", "%20"), canonicalHeaders(r, names), said["SignedHeaders"], hash}, "\n")
	toSign := strings.Join([]string{signedAlgorithm, date, scope, hexHash([]byte(request))}, "\n")
	key := []byte("AWS4" + s.SecretKey)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hmac.Equal([]byte(hex.EncodeToString(key)), []byte(said["Signature"]))
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

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// authorizer is what a function learns of the signer.
func (s Signer) authorizer() *events.APIGatewayV2HTTPRequestContextAuthorizerDescription {
	return &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{IAM: &events.APIGatewayV2HTTPRequestContextAuthorizerIAMDescription{
		AccessKey: s.AccessKey, AccountID: accountID, CallerID: s.AccessKey, UserID: s.AccessKey,
		UserARN: "arn:aws:iam::" + accountID + ":user/" + s.AccessKey}}
}
