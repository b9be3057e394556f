package transportws

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ got, want string }{
		"ack without payload": {string(Message{Type: TypeConnectionAck}.Append(nil)),
			`{"type":"connection_ack"}`},
		"pong with payload": {string(Message{Type: TypePong, Payload: json.RawMessage(`{ "a":1 }`)}.Append(nil)),
			`{"type":"pong","payload":{ "a":1 }}`},
		"next": {string(AppendNext(nil, "1", []byte(`{"data":{"a":1}}`))),
			`{"id":"1","type":"next","payload":{"data":{"a":1}}}`},
		"next after something": {string(AppendNext([]byte("x"), "1", []byte(`{}`))),
			`x{"id":"1","type":"next","payload":{}}`},
		"error": {string(AppendError(nil, "1", []byte(`[{"message":"no"}]`))),
			`{"id":"1","type":"error","payload":[{"message":"no"}]}`},
		"complete": {string(AppendComplete(nil, "1")),
			`{"id":"1","type":"complete"}`},
		"id with characters to escape": {string(AppendComplete(nil, "\"\\\n\x00\x7f<é🏊\u2028")),
			`{"id":"\"\\\u000a\u0000` + "\x7f<é🏊\u2028" + `","type":"complete"}`},
		"connection error": {string(AppendConnectionError(nil, Unauthorized())),
			`{"type":"connection_error: 4401 Unauthorized","payload":{"code":4401,"message":"Unauthorized","retry":false}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFramesOfOneResultShareWhatFollowsTheID(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"data":{"a":1}}`)
	a, _ := strings.CutPrefix(string(AppendNext(nil, "1", payload)), `{"id":"1"`)
	b, _ := strings.CutPrefix(string(AppendNext(nil, "longer", payload)), `{"id":"longer"`)
	if a != b {
		t.Errorf("%q and %q differ", a, b)
	}
}

func TestAppendNextAllocatesNothing(t *testing.T) {
	payload, dst := []byte(`{"data":{"a":1}}`), make([]byte, 0, 1024)
	allocs := testing.AllocsPerRun(100, func() { dst = AppendNext(dst[:0], "an \"id\" with ä", payload) })
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDecodeKeepsNoReferenceToTheFrame(t *testing.T) {
	t.Parallel()
	frame := []byte(`{"id":"abc","type":"next","payload":{"data":1}}`)
	m, err := Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	want := Message{Type: TypeNext, ID: "abc", Payload: json.RawMessage(`{"data":1}`)}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeDropsWhatATypeDoesNotHave(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]Message{
		`{"id":"1","type":"complete","payload":{"a":1}}`: {Type: TypeComplete, ID: "1"},
		`{"id":"1","type":"ping","payload":null}`:        {Type: TypePing},
	} {
		got, err := Decode([]byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDecodeSurvivesHostileFrames(t *testing.T) {
	t.Parallel()
	ping := func(payload string) string { return `{"type":"ping","payload":` + payload + `}` }
	const deep = 100_000
	for name, test := range map[string]struct {
		frame string
		ok    bool
	}{
		"arrays nested too deeply":        {ping(`{"a":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`), false},
		"arrays never closed":             {strings.Repeat("[", deep), false},
		"objects nested too deeply":       {ping(strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)), false},
		"objects nested below the limit":  {ping(strings.Repeat(`{"a":`, 9_998) + "1" + strings.Repeat("}", 9_998)), true},
		"a number with many digits":       {ping(`{"a":` + strings.Repeat("9", deep) + `}`), true},
		"many members":                    {`{"type":"ping"` + strings.Repeat(`,"a":1`, deep) + `}`, true},
		"an id of the greatest length":    {`{"type":"complete","id":"` + strings.Repeat("a", MaxIDBytes) + `"}`, true},
		"an id that is too long":          {`{"type":"complete","id":"` + strings.Repeat("a", MaxIDBytes+1) + `"}`, false},
		"an id that is too long in bytes": {`{"type":"complete","id":"` + strings.Repeat("é", MaxIDBytes/2+1) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode([]byte(test.frame))
			if closing, _ := errors.AsType[CloseError](err); (err == nil) != test.ok || err != nil && closing.Code != CodeBadRequest {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestReasonFitsAndIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		got  CloseError
		want string
	}{
		"short id":  {SubscriberAlreadyExists("1"), "Subscriber for 1 already exists"},
		"long id":   {SubscriberAlreadyExists(strings.Repeat("a", 500)), "Subscriber for " + strings.Repeat("a", 93) + " already exists"},
		"wide id":   {SubscriberAlreadyExists(strings.Repeat("🏊", 500)), "Subscriber for " + strings.Repeat("🏊", 23) + " already exists"},
		"long text": {BadRequest(strings.Repeat("é", 100)), strings.Repeat("é", 61)},
		"full text": {BadRequest(strings.Repeat("a", 123)), strings.Repeat("a", 123)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.got.Reason); diff != "" {
				t.Error(diff)
			}
			if len(test.got.Reason) > 123 || !utf8.ValidString(test.got.Reason) {
				t.Errorf("%d bytes: %q", len(test.got.Reason), test.got.Reason)
			}
		})
	}
}

func TestSubprotocol(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"graphql-transport-ws":                    true,
		"graphql-ws, graphql-transport-ws":        true,
		"graphql-transport-ws,graphql-ws":         true,
		" foo ,\tgraphql-transport-ws\t, bar":     true,
		",,graphql-transport-ws":                  true,
		"":                                        false,
		"graphql-ws":                              false,
		"GraphQL-Transport-WS":                    false,
		"graphql-transport-ws2":                   false,
		"graphql transport ws":                    false,
		"graphql-transport-ws;q=1":                false,
		"graphql-ws graphql-transport-ws":         false,
		"\u00a0graphql-transport-ws":              false,
		`"graphql-transport-ws"`:                  false,
		strings.Repeat(",", 1000) + "graphql-ws,": false,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			name, ok := Subprotocol(header)
			if ok != want || (name == "graphql-transport-ws") != want {
				t.Errorf("got %q, %v", name, ok)
			}
		})
	}
}
