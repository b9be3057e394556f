// Package accept reads the headers in which a client says what it accepts (RFC 9110
// section 12.5). Values of repeated headers are joined by commas. An entry that cannot
// be read accepts nothing, and does not spoil the others.
//
// The libraries that we looked at choose by the order of the list, or refuse the whole
// header for one bad entry; browsers and clients send such lists.
package accept

import (
	"mime"
	"regexp"
	"strconv"
	"strings"
)

// entry is one item of a list, with its weight from 0, not at all, to 1.
type entry struct {
	name    string // in lower case
	charset string
	weight  float64
}

// entries reads a header.
func entries(header string) (list []entry) {
	for _, part := range split(header) {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight, ok := params["q"]
		if !ok {
			weight = "1"
		}
		if !weights.MatchString(weight) {
			continue
		}
		q, err := strconv.ParseFloat(weight, 64)
		if err != nil {
			continue // it always is: the pattern lets only numbers through
		}
		list = append(list, entry{name, params["charset"], q})
	}
	return list
}

// weights is the qvalue of RFC 9110 section 12.4.2.
var weights = regexp.MustCompile(`^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$`)

// split cuts a list at its commas, except in quoted strings.
func split(header string) (parts []string) {
	begin, quoted, escaped := 0, false, false
	for i, c := range header {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			parts = append(parts, header[begin:i])
			begin = i + 1
		}
	}
	return append(parts, header[begin:])
}

// Match is how well a media type fits an Accept header.
type Match struct {
	Weight float64 // 0 for not at all
	Named  bool    // by its own name, not by a wildcard
}

// Media returns how well a type of UTF-8 text fits the header. Of several matching
// ranges the most precise counts (RFC 9110 section 12.5.1); parameters other than q and
// charset are ignored.
func Media(header, media string) (best Match) {
	kind, _, _ := strings.Cut(media, "/")
	precision := 0
	for _, e := range entries(header) {
		found := map[string]int{media: 3, kind + "/*": 2, "*/*": 1}[e.name]
		if !IsUTF8(e.charset) || found == 0 || found < precision || found == precision && e.weight <= best.Weight {
			continue
		}
		precision, best = found, Match{Weight: e.weight, Named: found == 3}
	}
	return best
}

// IsUTF8 reports whether a charset parameter ("" if absent) means UTF-8. Only the
// Encoding Standard knows the name "utf8", but libraries send it.
func IsUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// unlisted is the weight of an unpacked body that the header does not mention: it may
// be sent, but whatever is listed is preferred.
const unlisted = 0.0001

// Codings returns the weights of a gzip body and of an unpacked one, by an
// Accept-Encoding header (RFC 9110 section 12.5.3); 0 for what must not be sent.
func Codings(header string) (gzip, identity float64) {
	weights := map[string]float64{}
	for _, e := range entries(header) {
		if e.name == "x-gzip" { // the same, section 8.4.1.3
			e.name = "gzip"
		}
		weights[e.name] = max(weights[e.name], e.weight)
	}
	of := func(coding string, absent float64) float64 {
		for _, name := range []string{coding, "*"} {
			if weight, ok := weights[name]; ok {
				return weight
			}
		}
		return absent
	}
	return of("gzip", 0), of("identity", unlisted)
}
