package accept_test

import (
	"testing"

	"subwire/shared/accept"
)

// The second group is the example of RFC 9110 section 12.5.1.
func TestMedia(t *testing.T) {
	t.Parallel()
	const example = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"
	for _, tc := range []struct {
		header, media string
		want          accept.Match
	}{
		{"text/html", "text/html", accept.Match{Weight: 1, Named: true}},
		{"TEXT/HTML ; Q=0.25", "text/html", accept.Match{Weight: 0.25, Named: true}},
		{"text/*", "text/html", accept.Match{Weight: 1}},
		{"*/*;q=0.1", "text/html", accept.Match{Weight: 0.1}},
		{"application/*, image/png", "text/html", accept.Match{}},
		{"*/*, text/html;q=0", "text/html", accept.Match{Named: true}},
		{"text/*;q=0, */*", "text/html", accept.Match{}},

		{example, "text/html", accept.Match{Weight: 0.3}},
		{example, "text/plain", accept.Match{Weight: 1, Named: true}},
		{example, "image/jpeg", accept.Match{Weight: 0.5}},

		{`text/html;title="a, \", b";q=0.5`, "text/html", accept.Match{Weight: 0.5, Named: true}},
		{`a/b;title=", text/html,", c/d`, "text/html", accept.Match{}},
		{"text/html;charset=utf-8", "text/html", accept.Match{Weight: 1, Named: true}},
		{"text/html;charset=UTF8", "text/html", accept.Match{Weight: 1, Named: true}},
		{"text/html;charset=latin1", "text/html", accept.Match{}},
		{"text/html;level=1", "text/html", accept.Match{Weight: 1, Named: true}},
		{"text/html;q=1.000", "text/html", accept.Match{Weight: 1, Named: true}},
		{"text/html;q=1.001", "text/html", accept.Match{}},
		{"text/html;q=0.0001", "text/html", accept.Match{}},
		{"text/html;q=1e-1", "text/html", accept.Match{}},
		{"text/html;q=-1", "text/html", accept.Match{}},
		{"text/html;q=NaN", "text/html", accept.Match{}},
		{"text/html;q=", "text/html", accept.Match{}},
		{"text/html;q=0.5;q=1", "text/html", accept.Match{}},
		{",, text/html,", "text/html", accept.Match{Weight: 1, Named: true}},
		{"", "text/html", accept.Match{}},
	} {
		if got := accept.Media(tc.header, tc.media); got != tc.want {
			t.Errorf("%q for %s: %+v, want %+v", tc.header, tc.media, got, tc.want)
		}
	}
}

// RFC 9110 section 12.5.3 says which codings a header allows; its examples come first.
// An unpacked body may be sent unless the header refuses it.
func TestCodings(t *testing.T) {
	t.Parallel()
	const asItIs = 0.0001
	for header, want := range map[string][2]float64{ // gzip, identity
		"compress, gzip":                     {1, asItIs},
		"":                                   {0, asItIs},
		"*":                                  {1, 1},
		"compress;q=0.5, gzip;q=1.0":         {1, asItIs},
		"gzip;q=1.0, identity; q=0.5, *;q=0": {1, 0.5},

		"gzip;q=0":                    {0, asItIs},
		"gzip;q=0, *":                 {0, 1},
		"identity;q=0":                {0, 0},
		"identity;q=0, gzip":          {1, 0},
		"*;q=0":                       {0, 0},
		"*;q=0, identity":             {0, 1},
		"*;q=0, gzip;q=0.2":           {0.2, 0},
		"deflate, br, zstd":           {0, asItIs},
		"x-gzip;q=0.3":                {0.3, asItIs},
		"GZip":                        {1, asItIs},
		"gzip;q=2, gzip;q=0.001":      {0.001, asItIs},
		"gzip;q=0, gzip":              {1, asItIs},
		"gzipped":                     {0, asItIs},
		"gzip;level=9;q=0.5, a b, ;;": {0.5, asItIs},
	} {
		if gzip, identity := accept.Codings(header); gzip != want[0] || identity != want[1] {
			t.Errorf("%q: gzip %v, identity %v; want %v", header, gzip, identity, want)
		}
	}
}

// FuzzAccept checks that weights are weights, and that an unreadable entry does not
// spoil those before it.
func FuzzAccept(f *testing.F) {
	for _, header := range []string{"text/html;q=0.5, */*", `a/b;c="d,e"`, "gzip;q=0, identity", ";;,", `"`} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		gzip, identity := accept.Codings(header)
		match := accept.Media(header, "text/html")
		for _, weight := range []float64{gzip, identity, match.Weight} {
			if !(weight >= 0 && weight <= 1) {
				t.Fatalf("%q has weight %v", header, weight)
			}
		}
		if got := accept.Media("text/html,"+header, "text/html"); got.Weight != 1 || !got.Named {
			t.Fatalf("before %q: %+v", header, got)
		}
	})
}
