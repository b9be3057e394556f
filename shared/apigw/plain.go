package apigw

import (
	"bytes"
	"strconv"
)

// plainSuccess returns the length of the answer with which came begins if it is the usual
// one: a whole 200 with a length, on a connection that stays open. It returns 0 for all
// others, which net/http reads. To let it read this one, too, would cost a post most of
// its allocations. Whatever is taken here means the same to net/http (a fuzz test
// compares them).
func plainSuccess(came []byte) int {
	head, rest, whole := bytes.Cut(came, []byte("\r\n\r\n"))
	if !whole || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0
	}
	line, head, _ := bytes.Cut(head, []byte("\r\n"))
	if !printable(line) {
		return 0
	}
	length := -1
	for len(head) > 0 {
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		name, value, named := bytes.Cut(line, []byte(": "))
		if !named || !token(name) || !printable(value) {
			return 0
		}
		switch {
		case is(name, "Content-Length"):
			n, err := strconv.ParseUint(string(value), 10, 16)
			if err != nil || length >= 0 {
				return 0
			}
			length = int(n)
		case is(name, "Connection"):
			if !is(value, "keep-alive") {
				return 0
			}
		case is(name, "Transfer-Encoding"), is(name, "Trailer"):
			return 0
		}
	}
	if length < 0 || length > len(rest) {
		return 0
	}
	return len(came) - len(rest) + length
}

func is(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }

// token reports whether b is a header's name ("Field Names" in RFC 9110).
func token(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false // some more are allowed, but nobody uses them
		}
	}
	return len(b) > 0
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
