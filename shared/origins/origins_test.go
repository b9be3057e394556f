package origins_test

import (
	"slices"
	"strings"
	"testing"

	"subwire/shared/origins"
)

// The values are what new URL(text).origin of Node.js 20 says, which is the URL
// Standard's parser; for schemes other than http and https, where that is null,
// protocol and host.
func TestAnOriginIsWrittenAsABrowserWritesIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://Chat.Example.com":                             "https://chat.example.com",
		"HTTPS://chat.example.com:443":                         "https://chat.example.com",
		"http://chat.example.com:80":                           "http://chat.example.com",
		"http://chat.example.com:443":                          "http://chat.example.com:443",
		"https://chat.example.com:8443":                        "https://chat.example.com:8443",
		"https://chat.example.com:08443":                       "https://chat.example.com:8443",
		"https://chat.example.com:":                            "https://chat.example.com",
		"https://a.example:0":                                  "https://a.example:0",
		"https://localhost":                                    "https://localhost",
		"https://example.com.":                                 "https://example.com.",
		"https://my_host.example":                              "https://my_host.example",
		"https://-a--b.example":                                "https://-a--b.example",
		"https://MÜNCHEN.example":                              "https://xn--mnchen-3ya.example",
		"https://xn--mnchen-3ya.example":                       "https://xn--mnchen-3ya.example",
		"https://faß.example":                                  "https://xn--fa-hia.example",
		"https://日本語。ＪＰ":                                       "https://xn--wgv71a119e.jp",
		"https://a\u00adb.example":                             "https://ab.example",
		"http://127.0.0.1:3000":                                "http://127.0.0.1:3000",
		"http://[::1]:3000":                                    "http://[::1]:3000",
		"http://[2001:DB8:0:0::1]":                             "http://[2001:db8::1]",
		"capacitor://localhost":                                "capacitor://localhost",
		"Ionic://localhost":                                    "ionic://localhost",
		"tauri://localhost":                                    "tauri://localhost",
		"app://Obsidian.md":                                    "app://Obsidian.md",
		"capacitor://localhost:80":                             "capacitor://localhost:80",
		"chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb":  "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
		"moz-extension://6c0f8e1a-1111-2222-3333-444444444444": "moz-extension://6c0f8e1a-1111-2222-3333-444444444444",
	} {
		if got, err := origins.Parse(text); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestWhatNoBrowserSendsIsRefused(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"https://a.example/":      "without a slash",
		"https://a.example/chat":  "without a slash",
		"https://a.example?":      "without a slash",
		"https://a.example#top":   "without a slash",
		"https://ada@a.example":   "after the host",
		"a.example":               "a scheme and a host",
		"//a.example":             "a scheme and a host",
		"localhost:3000":          "a scheme and a host",
		"https://":                "a scheme and a host",
		"https:a.example":         "a scheme and a host",
		"null":                    "null",
		"NULL":                    "null",
		"https://*.example":       "* stands for all",
		"*":                       "* stands for all",
		"https://a.example:65536": "port",
		"https://a.example:x":     "a scheme and a host",
		"https://a b":             "a scheme and a host",
		"https://:8080":           "no domain name",
		"https://.a":              "no domain name",
		"https://a..b":            "no domain name",
		"https://xn--a.example":   "no domain name",
		"https://אb.example":      "no domain name",
		"https://\u200d.example":  "no domain name",
		"https://a!.example":      "no domain name",
		"http://127.1":            "four parts",
		"http://2130706433":       "four parts",
		"http://0x7f.1":           "four parts",
		"https://a.1":             "four parts",
		"https://1.2.3.4.":        "four parts",
		"http://[::ffff:1.2.3.4]": "IPv6",
		"http://[fe80::1%25en0]":  "IPv6",
		"file:///index.html":      "a scheme and a host",
		"file://host":             "the scheme file",
		"wss://a.example":         "the scheme wss",
		"chrome-extension://":     "a scheme and a host",
		"chrome-extension://id/":  "without a slash",
		"tauri://löcalhost":       "letters, digits",
		"https://exa%6dple.com":   "a scheme and a host",
		"http://%AA":              "a scheme and a host",
	} {
		got, err := origins.Parse(text)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"*":   {"*"},
		" * ": {"*"},
		"https://A.example, http://localhost:3000,": {"https://a.example", "http://localhost:3000"},
		"https://a.example,https://a.example:443":   {"https://a.example"},
		"*,https://a.example":                       nil,
		"https://a.example,null":                    nil,
		"https://a.example https://b.example":       nil,
		"":                                          nil,
		" , ":                                       nil,
	} {
		got, err := origins.ParseList(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

// What Parse returns is in the only form.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"https://Ada.Example:443", "http://[::1]:80", "tauri://localhost", "https://münchen.de", "http://1.2.3.4", "http://%AA",
		"http://" + strings.Repeat("y", 1200) + "ü0000",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := origins.Parse(text)
		if err != nil {
			return
		}
		if again, err := origins.Parse(origin); err != nil || again != origin {
			t.Fatalf("%q becomes %q, which becomes %q, %v", text, origin, again, err)
		}
		for _, c := range origin {
			if c <= ' ' || c > '~' || c == ',' {
				t.Fatalf("%q becomes %q", text, origin)
			}
		}
	})
}
