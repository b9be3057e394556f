package topology

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Setting is an optional environment variable.
type Setting struct {
	Env        string
	Default    string
	Production string // instead of the default in production; "" for the same
	Bounds     string // of a number or time, as "1 to 1000"; "" for other kinds
	Meaning    string // Markdown, for a document in docs

	readBy string // names of functions, or delivering
	hidden bool   // whether errors leave the value out, in case it is the secret itself
	parse  func(value string) (any, error)
}

// SettingOf is a setting whose values are of type T.
type SettingOf[T any] struct{ *Setting }

// table has the rows in their order.
var table []*Setting

// Settings lists every setting.
func Settings() []*Setting { return slices.Clone(table) }

// setting adds a row to the table, like package flag.
func setting[T any](env, value string, k kind[T], readBy, meaning string) SettingOf[T] {
	s := &Setting{Env: env, Default: value, Bounds: k.bounds, Meaning: meaning, readBy: readBy}
	s.parse = func(value string) (any, error) { return k.parse(value) }
	table = append(table, s)
	return SettingOf[T]{s}
}

// inProduction sets the default in production.
func (s SettingOf[T]) inProduction(value string) SettingOf[T] {
	s.Production = value
	return s
}

// hide keeps values out of errors.
func (s SettingOf[T]) hide() SettingOf[T] {
	s.hidden = true
	return s
}

// Settings are those that the function gets.
func (f Function) Settings() []*Setting {
	return slices.DeleteFunc(Settings(), func(s *Setting) bool {
		readers := strings.Fields(s.readBy)
		return !slices.Contains(readers, f.Name) && !(f.Delivers && slices.Contains(readers, delivering))
	})
}

// ReadBy names the functions that may get the setting.
func (s *Setting) ReadBy() []string {
	return strings.Fields(strings.Replace(s.readBy, delivering, Stream.Name, 1))
}

// Values are settings as they were read.
type Values map[*Setting]any

// Read reads the settings from their environment variables; "" stands for the default.
// Each error is one line that names a variable, whose value is then the default.
func Read(settings []*Setting, get func(env string) string) (Values, []error) {
	v := Values{}
	var errs []error
	for _, s := range settings {
		value, err := s.read(get(s.Env))
		if err != nil {
			errs = append(errs, err)
			value, _ = s.read("")
		}
		v[s] = value
	}
	return v, errs
}

// Defaults are the values of an empty environment.
func Defaults() Values {
	v, errs := Read(table, func(string) string { return "" })
	if errs != nil {
		panic(errors.Join(errs...)) // topology is data
	}
	return v
}

func (s *Setting) read(text string) (any, error) {
	if text == "" {
		text = s.Default
	}
	value, err := s.parse(text)
	switch {
	case err != nil && s.hidden:
		return nil, fmt.Errorf("%s: %w", s.Env, err)
	case err != nil:
		return nil, fmt.Errorf("%s is %q: %w", s.Env, text, err)
	}
	return value, nil
}

// In is the setting's value. It panics if the values are of a function that does not
// get it.
func (s SettingOf[T]) In(v Values) T {
	value, given := v[s.Setting]
	if !given {
		panic(s.Env + " is read by a function that its row in topology does not name")
	}
	return value.(T)
}

// kind says what the values of a setting may be.
type kind[T any] struct {
	bounds string
	parse  func(text string) (T, error) // its error follows "NAME is VALUE: "
}

func number(min, max int) kind[int] {
	bounds := fmt.Sprintf("%d to %d", min, max)
	return kind[int]{bounds, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < min || n > max {
			return 0, errors.New("it must be a number from " + bounds)
		}
		return n, nil
	}}
}

func powerOfTwo(min, max int) kind[int] {
	k := number(min, max)
	return kind[int]{k.bounds, func(text string) (int, error) {
		n, err := k.parse(text)
		if err == nil && n&(n-1) != 0 {
			err = errors.New("it must be a power of two")
		}
		return n, err
	}}
}

func duration(min, max time.Duration) kind[time.Duration] {
	bounds := fmt.Sprintf("%s to %s", min, max)
	return kind[time.Duration]{bounds, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < min || d > max {
			return 0, errors.New("it must be a time from " + bounds + ", such as 10s")
		}
		return d, nil
	}}
}

func oneOf(allowed ...string) kind[string] {
	return kind[string]{parse: func(text string) (string, error) {
		if !slices.Contains(allowed, text) {
			return "", fmt.Errorf("it must be one of %s", strings.Join(allowed, ", "))
		}
		return text, nil
	}}
}

func boolean() kind[bool] {
	return kind[bool]{parse: func(text string) (bool, error) {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return false, errors.New("it must be true or false")
		}
		return b, nil
	}}
}

func level() kind[slog.Level] {
	return kind[slog.Level]{parse: func(text string) (l slog.Level, err error) {
		if l.UnmarshalText([]byte(text)) != nil {
			err = errors.New("it must be debug, info, warn or error")
		}
		return l, err
	}}
}

// by is for a parser whose error says enough.
func by[T any](parse func(string) (T, error)) kind[T] { return kind[T]{parse: parse} }

// claims reads names of claims. What is kept of a token is bounded in bytes by package
// auth.
func claims(text string) (names []string, err error) {
	const most, longest = 20, 64
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if len(name) > longest || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, fmt.Errorf("a claim has a name of at most %d bytes", longest)
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > most {
		return nil, fmt.Errorf("it must name at most %d claims", most)
	}
	return names, nil
}

// hostURL reads the URL of hosts; "" is none.
func hostURL(text string) (string, error) {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		return "", errors.New("it must be an http or https URL with a host, and without a query")
	}
	return strings.TrimSuffix(text, "/"), nil
}

// anyText leaves the check to the user of the setting.
func anyText() kind[string] {
	return kind[string]{parse: func(text string) (string, error) { return text, nil }}
}

// members reads names of init payload members, in lower case. It refuses a name under
// which a client would send a secret: what is listed is stored and shown to operators.
func members(text string) (names []string, err error) {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		lower := strings.ToLower(name)
		letters := strings.Map(letterOrNone, lower)
		if slices.ContainsFunc(strings.Fields(secrets), func(s string) bool { return strings.Contains(letters, s) }) {
			return nil, fmt.Errorf("%s would store a secret", name)
		}
		if name != "" {
			names = append(names, lower)
		}
	}
	return names, nil
}

// secrets are words in the names of secrets, in lower case and without punctuation.
const secrets = "auth bearer cookie credential jwt key pass pwd secret session signature token"

func letterOrNone(r rune) rune {
	if unicode.IsLetter(r) {
		return r
	}
	return -1
}
