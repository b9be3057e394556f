package fanout

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

const traceID = "1-5759e988-bd862e3fe1be46a994272793"

func TestTheTraceTravelsWithTheBatch(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1764331200123)
	plain := Batch{Event: pubsub.Event{ID: "1", Topic: "t", Root: json.RawMessage(`1`)},
		Tasks: []Task{{Operation: "k", Targets: targets{{ConnectionID: "c", OperationID: "1", At: 5}}}}}
	before, id, err := Encode(plain)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		trace   string
		at      time.Time
		trailer string
	}{
		"Both":       {traceID, at, `,"written":{"trace":"` + traceID + `","at":1764331200123}}`},
		"NoTime":     {traceID, time.Time{}, `,"written":{"trace":"` + traceID + `"}}`},
		"NoTrace":    {"", at, "}"},
		"NoTraceAt0": {`"},"x":{"`, at, "}"},
	} {
		b := plain
		b.Event.Trace, b.Event.At = tc.trace, tc.at
		body, got, err := Encode(b)
		if err != nil || got != id {
			t.Errorf("%s: the deduplication id differs, %v", name, err)
		}
		if want := strings.TrimSuffix(string(before), "}") + tc.trailer; string(body) != want || len(body)-len(before) > writtenBytes {
			t.Errorf("%s: %s, want %s", name, body, want)
		}
		decoded, err := Decode(body)
		if err != nil || len(tc.trailer) > 1 && (decoded.Event.Trace != tc.trace || !decoded.Event.At.Equal(tc.at)) ||
			len(tc.trailer) == 1 && (decoded.Event.Trace != "" || !decoded.Event.At.IsZero()) {
			t.Errorf("%s: decoded %+v, %v", name, decoded.Event, err)
		}
	}
}

func TestAHostileTraceIsDropped(t *testing.T) {
	t.Parallel()
	const rest = `{"v":1,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["a","1",0]]}],"written":`
	for _, member := range []string{`7`, `"x"`, `null`, `[]`, `{}`, `{"trace":7}`, `{"trace":"x","at":1}`, `{"at":1764331200123}`,
		`{"trace":"` + traceID + `","at":-1}`, `{"trace":"` + traceID + `","at":1e30}`, `{"trace":"` + traceID + `","at":10000000000000}`} {
		b, err := Decode([]byte(rest + member + "}"))
		if err != nil || b.Event.Trace != "" || !b.Event.At.IsZero() || b.Targets() != 1 {
			t.Errorf("%s: %+v, %v", member, b, err)
		}
	}
}

// The planner leaves room for the longest there is.
func TestATraceHasRoomInABatch(t *testing.T) {
	t.Parallel()
	e := pubsub.Event{ID: "1", Topic: "t", Root: json.RawMessage(`1`), Trace: traceID, At: time.UnixMilli(maxAt - 1)}
	room, err := emptyBytes(e, 256)
	if err != nil {
		t.Fatal(err)
	}
	body, err := jsontext.Append(nil, message{Batch: Batch{Version: versionViewers, Event: e, Range: 256}, Tasks: []wireTask{}})
	if n := len(appendWritten(body, e)); err != nil || n != room {
		t.Errorf("it takes %d bytes of %d, %v", n, room, err)
	}
}
