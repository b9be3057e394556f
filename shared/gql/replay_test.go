package gql_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const resumable = `subscription S($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id } }`

// Clients that resume at different messages, or do not resume, share one execution
// afterwards.
func TestWhatIsStoredOfAResumedSubscription(t *testing.T) {
	t.Parallel()
	const two = resumable + ` query Q($after: ID) { getNewMessages(chatId: "1", after: $after) { id } }`
	const required = `subscription ($after: ID!) { newMessage(chatId: "1", after: $after) { id } }`
	const literal = `subscription { newMessage(chatId: "1", after: "00000000000000000000000000") { id } }`
	const fragment = `subscription ($x: ID) { ...F } fragment F on Subscription { newMessage(chatId: "1", after: $x) { id } }`
	const twice = `subscription ($x: ID) { ...F ...G } fragment F on Subscription { newMessage(chatId: "1", after: $x) { id } }
		fragment G on Subscription { newMessage(chatId: "1", after: $x) { content } }`
	const byDefault = `subscription ($x: ID = "none") { newMessage(chatId: "1", after: $x) { id } }`
	const id = `01M85WT11137WCG62A1WHZ1ZR6`
	for name, tc := range map[string]struct {
		document, variables string
		want                string // the stored variables
		missed              bool
	}{
		"Given":            {resumable, `{"after":"` + id + `", "chatId": "1"}`, `{"chatId":"1"}`, true},
		"GivenLast":        {resumable, `{"chatId":"1","after":"` + id + `"}`, `{"chatId":"1"}`, true},
		"Null":             {resumable, `{"chatId":"1","after":null}`, `{"chatId":"1"}`, false},
		"Absent":           {resumable, `{ "chatId" : "1" }`, `{"chatId":"1"}`, false},
		"UnknownsAreKept":  {resumable, `{"z":[1, 2.50],"chatId":"1"}`, `{"chatId":"1","z":[1,2.50]}`, false},
		"InAFragment":      {fragment, `{"x":"` + id + `"}`, ``, true},
		"InTwoFragments":   {twice, `{"x":"` + id + `"}`, ``, true},
		"WithADefault":     {byDefault, `{"x":"` + id + `"}`, `{"x":"` + id + `"}`, true}, // the default is refused
		"NothingGiven":     {fragment, ``, ``, false},
		"UsedElsewhere":    {two, `{"chatId":"1","after":"` + id + `"}`, `{"chatId":"1","after":"` + id + `"}`, true},
		"Required":         {required, `{"after":"` + id + `"}`, `{"after":"` + id + `"}`, true},
		"Literal":          {literal, `{"a": 1}`, `{"a": 1}`, true},
		"WithoutArgument":  {`subscription { newMessage(chatId: "1") { id } }`, `{"a": 1}`, `{"a": 1}`, false},
		"LowestForAnEmpty": {resumable, `{"chatId":"1","after":"00000000000000000000000000"}`, `{"chatId":"1"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExecutor(t, store{}, nil)
			op, want := operation(tc.document, tc.variables), operation(tc.document, tc.want)
			if tc.document == two {
				op.Name, want.Name = "S", "S"
			}
			x, err := e.Prepare(op)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, x.Stored, cmp.Transformer("", func(r json.RawMessage) string { return string(r) })); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if (x.Missed != nil) != tc.missed {
				t.Errorf("resumes: %v, want %v", x.Missed != nil, tc.missed)
			}
			again, err := e.Prepare(x.Stored) // as the sender does
			if err != nil || again.Topic != x.Topic {
				t.Errorf("what is stored gives topic %q, %v; want %q", again.Topic, err, x.Topic)
			}
		})
	}
}
