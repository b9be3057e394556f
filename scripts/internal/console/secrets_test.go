package console

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// token is a signed one, with the subject ada.
const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"

func TestSecretsAreCutOut(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"Subscribe":   `{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":{"password":"hunter2"}}}`,
		"Nested":      `{"variables":{"input":[{"apiKey":{"value":"hunter2"}}]}}`,
		"Number":      `{"variables":{"accessToken":[104,"hunter2"]}}`,
		"Argument":    `{"query":"mutation { login(name: \"ada\", password: \"hunter2\") { id } }"}`,
		"Document":    `mutation { login(name: "ada", secret: "hunter2") { id } }`,
		"Escaped":     `{"variables":{"pass\u0077ord":"hunter2"}}`,
		"Extensions":  `{"payload":{"extensions":{"headers":{"Authorization":"Bearer hunter2"}}}}`,
		"Header":      `Authorization: Bearer hunter2`,
		"Basic":       `authorization: basic hunter2`,
		"Query":       `wss://h/local?token=hunter2&x=1`,
		"Cookie":      `{"headers":{"cookie":"hunter2"}}`,
		"CutShort":    `{"variables":{"token":"hunter2`,
		"TwoMembers":  `{"token":"hunter2","token":1}`,
		"JWT":         `{"id":"` + token + `"}`,
		"JWTInText":   `hello ` + token + ` bye`,
		"SpacedEqual": `client_secret = hunter2`,
		"Block":       `mutation { login(password: """hunter2""") }`,
		"BlockQuotes": `mutation { login(password: """a "b" \"""hunter2""") }`,
		"BlockInJSON": `{"query":"mutation { login(password: \"\"\"hunter2\"\"\") }"`,
		"Quote":       `mutation { login(password: "ab\"hunter2") }`,
		"QuoteInJSON": `{"query":"mutation { login(password: \"ab\\\"hunter2\") }"}`,
		"QuoteShort":  `{"query":"mutation { login(password: \"ab\\\"hunter2`,
		"Backslash":   `mutation { login(password: "hunter2\`,
		"Object":      `mutation { login(credentials: {user: "ada", pin: "hunter2"}) }`,
		"Brace":       `mutation { login(credentials: {user: "}", pin: "hunter2"}) }`,
		"List":        `mutation { login(tokens: ["a", "hunter2"]) }`,
		"Deep":        `mutation { login(secret: {a: [{b: 1}, {b: "hunter2"}]}) }`,
		"TwoTexts":    `{"token":"a"} {"token":{"x":"hunter2"}}`,
		"Bound":       `{"payload":{"query":"mutation($p: String!) { login(password: $p) }","variables":{"p":"hunter2"}}}`,
	} {
		if got := Cut(text); strings.Contains(got, "hunter2") || strings.Contains(got, token) || strings.Contains(got, "c2lnbmF0dXJl") {
			t.Errorf("%s: %s is kept", name, got)
		}
	}
	for _, text := range []string{`{"id":"1","type":"next","payload":{"data":{"newMessage":{"content":"hello"}}}}`,
		`subscription { newMessage(chatId: "lobby") { id content } }`, `{"chatId":"lobby","key":"k-1"}`, "", "pong"} {
		if got := Cut(text); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
}

// What is left can be read as what it was.
func TestACutDocumentIsStillJSON(t *testing.T) {
	t.Parallel()
	got := Cut(`{"query":"mutation { login(name: \"ada\", password: \"x\") { id } }"}`)
	if want := `{"query":"mutation { login(name: \"ada\", password: \"…\") { id } }"}`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

func TestVariablesOfSecretArgumentsAreCutOut(t *testing.T) {
	t.Parallel()
	payload, err := json.Marshal(map[string]string{"body": `{"query":"mutation($a: ID!, $p: String!) { login(id: $a, password: $p) }",` +
		`"variables":{"a":"ada","p":"hunter2"}}`})
	if err != nil {
		t.Fatal(err)
	}
	if r := requestOf(payload); r == nil || r.Variables != `{"a":"ada","p":"…"}` || r.Whole() {
		t.Errorf("it is %+v", r)
	}
}

func TestNothingOfAnInitIsKeptButNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"type":"connection_init"}`:                                           `{"type":"connection_init"}`,
		`{"type":"connection_init","payload":{"a":"hunter2","b":{"c":[1]}}}`:   `{"payload":{"a":"…","b":"…"},"type":"connection_init"}`,
		`{"type":"connection\u005finit","payload":"hunter2","more":"hunter2"}`: `{"more":"…","payload":"…","type":"connection_init"}`,
		`hunter2`: `…`,
	} {
		if got := cutInit(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

func TestASubjectIsReadFromAToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`{"payload":{"token":"` + token + `"}}`: "ada", "no token": "", "eyJ.eyJ.": "", "eyJ.####.x": ""} {
		if got := subjectOf(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add(`{"token":"x"}`, "hunter2hunter2")
	f.Add(token, "€€€€")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if got := Cut(text); len(got) > mostText+len(cutOut)+2*len(text)+100 || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q became %q", text, got)
		}
		if !utf8.ValidString(secret) || len(secret) < 8 || strings.Contains(`{"variables":{"x":"1","password":"…"}}`, secret) {
			return
		}
		body, err := json.Marshal(map[string]any{"variables": map[string]any{"password": secret, "x": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := Cut(string(body)); strings.Contains(got, secret) {
			t.Errorf("%q is kept in %q", secret, got)
		}
	})
}
