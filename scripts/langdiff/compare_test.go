package langdiff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// aspect is what two verdicts differ in.
type aspect string

const (
	stages  aspect = "stage"  // who refuses, if anybody
	topics  aspect = "topic"  // the arguments of a subscription
	data    aspect = "data"   // of the execution, with the order of keys
	errored aspect = "errors" // of the execution: which fields, and their places in the document
	where   aspect = "places" // of what is refused
)

// compare returns the first aspect in which two verdicts differ, or "".
func compare(theirs, ours verdict, sorted bool) aspect {
	switch {
	case theirs.Stage != ours.Stage:
		return stages
	case theirs.Stage != "execute" && !sameLocations(theirs.Errors, ours.Errors):
		return where
	case theirs.Stage != "execute":
		return ""
	case theirs.Topic != ours.Topic:
		return topics
	case ordered(theirs.Data, sorted) != ordered(ours.Data, sorted):
		return data
	case !sameFieldErrors(theirs.Errors, ours.Errors):
		return errored
	}
	return ""
}

// mostErrors is how many errors of a verdict are shown, and how many we report.
const mostErrors = 10

// sameLocations reports whether we name places, and only places that graphql-js names
// for all errors together. graphql-js gives every place of a fault; we give the one
// where it shows, and stop after some errors.
func sameLocations(theirs, ours []located) bool {
	want, got := locations(theirs), locations(ours)
	foreign := func(at [2]int) bool { return !slices.Contains(want, at) }
	return (len(got) > 0 || len(want) == 0) && !slices.ContainsFunc(got, foreign)
}

func locations(found []located) (all [][2]int) {
	for _, e := range found {
		all = append(all, e.Locations...)
	}
	slices.SortFunc(all, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(all)
}

// sameFieldErrors compares the errors of an execution. If there are more than
// mostErrors, our last one only says so.
func sameFieldErrors(theirs, ours []located) bool {
	if len(theirs) <= mostErrors || len(ours) != mostErrors {
		return slices.Equal(fieldErrors(theirs), fieldErrors(ours))
	}
	want := fieldErrors(theirs)
	foreign := func(told string) bool { return !slices.Contains(want, told) }
	return !slices.ContainsFunc(fieldErrors(ours[:mostErrors-1]), foreign)
}

// fieldErrors are the errors of an execution as text, sorted.
func fieldErrors(found []located) (all []string) {
	for _, e := range found {
		path, err := json.Marshal(e.Path)
		if err != nil {
			panic(err) // it came from JSON
		}
		all = append(all, fmt.Sprintf("%s at %v", path, e.Locations))
	}
	slices.Sort(all)
	return all
}

// ordered is JSON in a canonical form that keeps the order of keys, and of lists
// unless sorted.
func ordered(text string, sorted bool) string {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	s, err := orderedValue(decoder, sorted)
	if err != nil {
		return fmt.Sprintf("%s: %v", text, err)
	}
	return s
}

func orderedValue(decoder *json.Decoder, sorted bool) (string, error) {
	token, err := decoder.Token()
	if err != nil {
		return "", err
	}
	switch token := token.(type) {
	case json.Delim:
		return orderedMembers(decoder, token == '{', sorted)
	case json.Number:
		f, err := token.Float64()
		return strconv.FormatFloat(f, 'g', -1, 64), err
	}
	s, err := json.Marshal(token)
	return string(s), err
}

func orderedMembers(decoder *json.Decoder, object, sorted bool) (string, error) {
	var members []string
	for decoder.More() {
		key := ""
		if object {
			name, err := decoder.Token()
			if err != nil {
				return "", err
			}
			key = fmt.Sprintf("%q:", name)
		}
		member, err := orderedValue(decoder, sorted)
		if err != nil {
			return "", err
		}
		members = append(members, key+member)
	}
	if _, err := decoder.Token(); err != nil {
		return "", err
	}
	if object {
		return "{" + strings.Join(members, ",") + "}", nil
	}
	if sorted {
		slices.Sort(members)
	}
	return "[" + strings.Join(members, ",") + "]", nil
}

// difference is a row of testdata/differences.json: an intended difference.
type difference struct {
	Case   string // a pattern for the whole name of a case; empty for any
	Text   string // a pattern for a part of its document or variables; empty for any
	Aspect aspect
	Theirs string // stage; empty for any
	Ours   string // the same
	Reason string

	names, texts *regexp.Regexp
}

func readDifferences(t testing.TB) []difference {
	t.Helper()
	raw, err := os.ReadFile("testdata/differences.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []difference
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Reason == "" {
			t.Errorf("the difference of %s has no reason", row.Case)
		}
		if row.Case == "" {
			row.Case = ".*"
		}
		rows[i].names, rows[i].texts = regexp.MustCompile("^("+row.Case+")$"), regexp.MustCompile(row.Text)
	}
	return rows
}

// intended returns the row that explains a difference, or -1.
func intended(rows []difference, name string, q question, found aspect, theirs, ours verdict) int {
	return slices.IndexFunc(rows, func(row difference) bool {
		return row.Aspect == found && row.names.MatchString(name) && row.texts.MatchString(q.Document+"\n"+q.Variables) &&
			(row.Theirs == "" || row.Theirs == theirs.Stage) && (row.Ours == "" || row.Ours == ours.Stage)
	})
}

func report(name string, found aspect, q question, theirs, ours verdict) string {
	theirs.Data, ours.Data = around(theirs.Data, ours.Data)
	return fmt.Sprintf("%s: another %s\ndocument:   %s\noperation:  %s\nvariables:  %s\ngraphql-js: %s\nours:       %s",
		name, found, strconv.Quote(shorten(q.Document)), q.Operation, q.Variables, theirs, ours)
}

// window is how much of a text is shown, in bytes.
const window = 600

// around cuts two long texts to where they begin to differ.
func around(a, b string) (string, string) {
	if len(a) < window && len(b) < window {
		return a, b
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	n = max(0, n-window/2)
	return "…" + shorten(a[min(n, len(a)):]), "…" + shorten(b[min(n, len(b)):])
}

func shorten(s string) string {
	if len(s) > window {
		return s[:window] + "…"
	}
	return s
}

func (v verdict) String() string {
	s := v.Stage
	if v.Topic != "" {
		s += " topic " + v.Topic
	}
	if v.Data != "" {
		s += " data " + v.Data
	}
	for _, e := range v.Errors[:min(len(v.Errors), mostErrors)] {
		path, err := json.Marshal(e.Path)
		if err != nil {
			panic(err) // it came from JSON
		}
		s += fmt.Sprintf("\n  %s at %v: %s %s", path, e.Locations, shorten(e.Message), e.Rule)
	}
	return s
}
