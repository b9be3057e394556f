package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

// mostText is how many bytes are kept of one text.
const mostText = 4 << 10

const cutOut = "…"

var (
	jwt    = regexp.MustCompile(`eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)*`)
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+`)

	// named are values of names that speak of secrets: members of JSON, arguments of GraphQL
	// and parameters of queries, with the quotes escaped or not.
	named = regexp.MustCompile(`(?is)((?:` + secretNames + `)[\w-]*\\*"?\s*[:=]\s*)(` + strings.Join([]string{
		block, quoted, blockInJSON, quotedInJSON, `\\+"(?:[^"\\]|\\[^"])*\\*(?:"|$)`, nested(3), `[^\s"\\,&{}()\[\]]+`}, `|`) + `)`)
	name = regexp.MustCompile(`(?i)` + secretNames)

	// bound are the variables that arguments with such names have.
	bound = regexp.MustCompile(`(?i)(?:` + secretNames + `)\w*\s*:\s*\$(\w+)`)
)

// Strings of GraphQL and JSON, which may be cut short.
const (
	block        = `"""(?:\\"""|.)*?(?:"""|$)`
	quoted       = `"(?:[^"\\]|\\.)*\\?(?:"|$)`
	blockInJSON  = `\\"\\"\\"(?:\\\\\\"|\\.|[^"\\])*?(?:\\"\\"\\"|"|\\?$)`
	quotedInJSON = `\\"(?:[^"\\]|\\\\\\["\\]|\\\\[^"\\]|\\[^"\\])*\\*(?:"|$)`
)

// nested are lists and objects that have others, so deep.
func nested(depth int) string {
	inner := `[^{}\[\]"]|"`
	if depth > 1 {
		inner += `|` + nested(depth-1)
	}
	return `[{\[](?:` + block + `|` + quoted + `|` + inner + `)*[}\]]?`
}

const secretNames = `token|authorization|passw|passphrase|secret|credential|api[_-]?key|access[_-]?key|` +
	`private[_-]?key|cookie|jwt|session[_-]?id|signature|\bauth\b`

// mayHide are parts that a text with a secret has, in lower case.
var mayHide = []string{"eyj", "bearer", "basic ", "token", "auth", "passw", "passp", "secret", "creden", "key",
	"cookie", "jwt", "session", "signat", `\u`}

// Cut returns a text without what may be a secret, shortened to what is kept of it.
func Cut(text string) string {
	lower := strings.ToLower(text)
	for _, part := range mayHide {
		if strings.Contains(lower, part) {
			text = cutJSON(text)
			break
		}
	}
	return shorten(text, mostText)
}

// cutJSON cuts by structure what is JSON, so that no escape hides a name, and then by pattern.
func cutJSON(text string) string {
	var value any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&value) == nil && !d.More() {
		if cleaned, changed := clean(value); changed {
			return jwt.ReplaceAllString(encode(cleaned), cutOut) // a name may be one
		}
	}
	return cutText(text)
}

func cutText(text string) string {
	text = jwt.ReplaceAllString(text, cutOut)
	text = bearer.ReplaceAllString(text, "$1 "+cutOut)
	return named.ReplaceAllString(text, `$1"`+cutOut+`"`)
}

// clean cuts the values of names that speak of secrets, and in texts.
func clean(value any) (cleaned any, changed bool) {
	switch v := value.(type) {
	case map[string]any:
		if document, ok := v["query"].(string); ok {
			variables, _ := v["variables"].(map[string]any)
			changed = cutBound(document, variables)
		}
		for key, member := range v {
			if name.MatchString(key) && member != nil {
				v[key], changed = cutOut, true
				continue
			}
			m, c := clean(member)
			v[key], changed = m, changed || c
		}
	case []any:
		for i := range v {
			m, c := clean(v[i])
			v[i], changed = m, changed || c
		}
	case string:
		cut := cutText(v)
		return cut, cut != v
	}
	return value, changed
}

// cutBound cuts the variables that the document gives to arguments whose names speak of secrets.
func cutBound(document string, variables map[string]any) (changed bool) {
	for _, argument := range bound.FindAllStringSubmatch(document, -1) {
		if variables[argument[1]] != nil {
			variables[argument[1]], changed = cutOut, true
		}
	}
	return changed
}

// cutVariables is Cut for the variables of a document, as JSON.
func cutVariables(document, variables string) string {
	var values map[string]any
	if bound.MatchString(document) && json.Unmarshal([]byte(variables), &values) == nil && cutBound(document, values) {
		variables = encode(values)
	}
	return Cut(variables)
}

func encode(value any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return cutOut
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// cutInit keeps only the names of what a connection_init says: anything may be a token there.
func cutInit(text string) string {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) != nil {
		return cutOut
	}
	if payload, ok := m["payload"].(map[string]any); ok {
		for key := range payload {
			payload[key] = cutOut
		}
	} else if m["payload"] != nil {
		m["payload"] = cutOut
	}
	for key := range m {
		if key != "type" && key != "payload" {
			m[key] = cutOut
		}
	}
	return shorten(encode(m), mostText)
}

// subjectOf is the sub of a token in the text, which nobody has checked; "" without one.
func subjectOf(text string) string {
	parts := strings.Split(jwt.FindString(text), ".")
	if len(parts) < 2 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Sub string `json:"sub"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return shorten(claims.Sub, 200)
}

// shorten cuts between characters.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.Clone(text[:most]) + cutOut
}
