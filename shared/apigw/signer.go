package apigw

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/sigv4"
)

// signer writes signed posts ("Create a signed AWS API request", Signature Version 4).
// What depends only on the second and on the credentials is computed once per second; a
// post costs two hashes and one HMAC.
type signer struct {
	region string
	host   string // as in the Host header
	path   string // as sent, up to the connection id
	signed string // the same as it is signed: escaped once more
	hashed bool   // whether requests have the header sigv4.BodyHash
	latest atomic.Pointer[second]
}

// second is what all posts of one second have in common.
type second struct {
	at          int64 // Unix time
	credentials aws.Credentials

	head      string    // from the end of the request's path to the signature
	canonical string    // of the canonical request, from there to where BodyHash stands
	rest      string    // of it, from there to the hash of the body
	toSign    string    // the string to sign, up to the hash of the canonical request
	macs      sync.Pool // of *mac
}

// mac computes signatures of one second.
type mac struct {
	hash.Hash        // with the signing key
	room      []byte // for what is hashed: a session token takes about a kilobyte
}

const (
	dateTime    = "20060102T150405Z"
	contentType = "application/octet-stream" // what the SDK sends
)

func newSigner(region string, stage *url.URL, hashed bool) *signer {
	path := strings.TrimSuffix(stage.EscapedPath(), "/") + "/@connections/"
	s := &signer{region: region, host: hostHeader(stage), path: path, hashed: hashed}
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		s.signed += "/" + string(appendEscaped(nil, segment, "%"))
	}
	s.signed += "/"
	return s
}

// hostHeader leaves out the scheme's default port, like HTTP clients.
func hostHeader(u *url.URL) string {
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return u.Hostname()
	}
	return u.Host
}

// append appends the whole request that posts the body.
func (s *signer) append(dst []byte, credentials aws.Credentials, now time.Time,
	connectionID string, body []byte) []byte {
	sec := s.second(credentials, now)
	dst = append(append(dst, "POST "...), s.path...)
	dst = appendEscaped(dst, connectionID, "%")
	dst = append(dst, sec.head...)
	sum := sha256.Sum256(body)
	dst = s.appendSignature(dst, sec, connectionID, sum)
	if s.hashed {
		dst = append(dst, "\r\n"+sigv4.BodyHash+": "...)
		dst = hex.AppendEncode(dst, sum[:])
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// appendSignature appends the signature in hex. It is given the hash of the body.
func (s *signer) appendSignature(dst []byte, sec *second, connectionID string, sum [sha256.Size]byte) []byte {
	m := sec.macs.Get().(*mac)
	b := append(append(m.room[:0], "POST\n"...), s.signed...)
	b = appendEscaped(b, connectionID, "%25")
	b = append(b, sec.canonical...)
	if s.hashed {
		b = append(b, "x-amz-content-sha256:"...)
		b = append(hex.AppendEncode(b, sum[:]), '\n')
	}
	b = append(b, sec.rest...)
	b = hex.AppendEncode(b, sum[:])
	sum = sha256.Sum256(b)

	b = append(b[:0], sec.toSign...)
	b = hex.AppendEncode(b, sum[:])
	m.Reset()
	m.Write(b)
	m.room = m.Sum(b[:0])
	dst = hex.AppendEncode(dst, m.room)
	sec.macs.Put(m)
	return dst
}

func (s *signer) second(c aws.Credentials, now time.Time) *second {
	if sec := s.latest.Load(); sec != nil && sec.at == now.Unix() && sec.credentials == c {
		return sec
	}
	sec := s.newSecond(c, now)
	s.latest.Store(sec)
	return sec
}

func (s *signer) newSecond(c aws.Credentials, now time.Time) *second {
	date := now.UTC().Format(dateTime)
	day := date[:len("20060102")]
	scope := day + "/" + s.region + "/execute-api/aws4_request"
	names, token, tokenLine := "content-type;host;x-amz-date", "", ""
	if s.hashed {
		names = "content-type;host;x-amz-content-sha256;x-amz-date"
	}
	if c.SessionToken != "" {
		names += ";x-amz-security-token"
		token, tokenLine = "x-amz-security-token:"+c.SessionToken+"\n", "X-Amz-Security-Token: "+c.SessionToken+"\r\n"
	}
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range []string{day, s.region, "execute-api", "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	sec := &second{
		at: now.Unix(), credentials: c,
		head: " HTTP/1.1\r\nHost: " + s.host + "\r\nContent-Type: " + contentType + "\r\nX-Amz-Date: " + date + "\r\n" +
			tokenLine + "Authorization: AWS4-HMAC-SHA256 Credential=" + c.AccessKeyID + "/" + scope +
			", SignedHeaders=" + names + ", Signature=",
		canonical: "\n\ncontent-type:" + contentType + "\nhost:" + s.host + "\n",
		rest:      "x-amz-date:" + date + "\n" + token + "\n" + names + "\n",
		toSign:    "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n",
	}
	sec.macs.New = func() any { return &mac{hmac.New(sha256.New, key), make([]byte, 0, 2048)} }
	return sec
}

// appendEscaped appends s as a part of a path. AWS wants all but unreserved characters
// escaped; percent is "%", or "%25" to escape once more.
func appendEscaped(dst []byte, s, percent string) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(append(dst, percent...), digits[c>>4], digits[c&0xf])
		}
	}
	return dst
}
