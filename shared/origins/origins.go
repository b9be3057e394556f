// Package origins reads lists of web origins from settings: of pages that may open a
// socket or read an answer over HTTP. A browser writes an origin in only one way, so
// other spellings are put into that form. An origin that no browser sends is an error:
// it would silently match nothing.
package origins

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Any, alone, stands for every origin.
const Any = "*"

// ParseList reads origins separated by commas, or Any. It returns each once, as a
// browser writes it in the header Origin. The error names the first that can never
// match, and says why.
func ParseList(text string) ([]string, error) {
	if strings.TrimSpace(text) == Any {
		return []string{Any}, nil
	}
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		origin, err := Parse(item)
		if err != nil {
			return nil, fmt.Errorf("%q can never match: %w", item, err)
		}
		if !slices.Contains(list, origin) {
			list = append(list, origin)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("it names no origin")
	}
	return list, nil
}

// Parse returns one origin as a browser writes it (HTML Standard, "ASCII serialization
// of an origin"; URL Standard, "host serializing"): scheme and host in lower case,
// international names in Punycode, without the scheme's default port.
//
// "null" is refused: any page can have that origin, from a sandboxed frame or a file,
// so allowing it allows all, which Any says openly.
func Parse(text string) (string, error) {
	if strings.EqualFold(text, "null") {
		return "", errors.New("any page can take the origin null; only * allows it, with all others")
	}
	if strings.Contains(text, Any) {
		return "", errors.New("* stands for all origins, alone, not for a part of a list or of a name")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || !utf8.ValidString(u.Host) {
		return "", errors.New("it must be a scheme and a host, such as https://example.com")
	}
	if u.User != nil || u.Path != "" || strings.ContainsAny(text, "?#") {
		return "", errors.New("it must end after the host or port, without a slash")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return parseApp(u)
	}
	host, err := parseHost(u.Hostname())
	if err != nil {
		return "", err
	}
	port, err := parsePort(u)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + host + port, nil
}

// noOrigins are schemes with pages that have the origin null, or without pages.
var noOrigins = []string{"file", "data", "blob", "about", "javascript", "ftp", "ws", "wss"}

// parseApp reads the origin of an app's or an extension's own page, such as
// capacitor://localhost or chrome-extension://ID. Its host is opaque; only the scheme
// ignores case (URL Standard, "opaque-host parser").
func parseApp(u *url.URL) (string, error) {
	if slices.Contains(noOrigins, u.Scheme) {
		return "", fmt.Errorf("no page has an origin with the scheme %s", u.Scheme)
	}
	if !opaqueHost.MatchString(u.Host) {
		return "", errors.New("its host must be letters, digits, dots, hyphens and underscores, with a port or not")
	}
	return u.Scheme + "://" + u.Host, nil
}

var opaqueHost = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]{1,5})?$`)

// names are domain names as the URL Standard wants them ("domain to ASCII"), and no
// longer than DNS allows: no browser gets a page from a longer one.
var names = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false),
	idna.CheckHyphens(false), idna.CheckJoiners(true), idna.BidiRule(), idna.VerifyDNSLength(true))

var (
	domain     = regexp.MustCompile(`^[a-z0-9._-]+$`)
	lastNumber = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)\.?$`)
)

// parseHost returns a host of http or https as a browser writes it.
func parseHost(host string) (string, error) {
	if strings.Contains(host, ":") {
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Zone() != "" || ip.Is4In6() {
			return "", errors.New("its host is no IPv6 address, or one that stands for IPv4 or a network card")
		}
		return "[" + ip.String() + "]", nil
	}
	name, err := names.ToASCII(host)
	if err != nil || !domain.MatchString(name) {
		return "", errors.New("its host is no domain name")
	}
	if !lastNumber.MatchString(name) {
		return name, nil
	}
	// A browser takes a host that ends in a number for an IPv4 address, and writes it
	// in four parts.
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return "", errors.New("its host ends in a number but is no IPv4 address in four parts")
	}
	return ip.String(), nil
}

// parsePort returns ":" and the port, or "" for the scheme's default.
func parsePort(u *url.URL) (string, error) {
	text := u.Port()
	if text == "" {
		return "", nil // a colon without a port counts as none
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", errors.New("its port is not a number up to 65535")
	}
	if u.Scheme == "https" && port == 443 || u.Scheme == "http" && port == 80 {
		return "", nil
	}
	return ":" + strconv.FormatUint(port, 10), nil
}
