package dead

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// chatRecord is the record of a message whose text has that many bytes.
func chatRecord(chat, id string, text int) string {
	return `{"eventName":"INSERT","eventSourceARN":"` + streamARN + `","dynamodb":{"SequenceNumber":"7","NewImage":{"chatId":{"S":"` + chat + `"},"id":{"S":"` + id +
		`"},"content":{"S":"` + strings.Repeat("x", text) + `"},"senderName":{"S":"Ada"},"createdAt":{"N":"1795521600000"}}}}`
}

const undecodable = `{"eventName":"INSERT","eventSourceARN":"` + streamARN + `","dynamodb":{"SequenceNumber":"7","Keys":{"id":{"S":"x"}}}}`

func (f *fakeSQS) parkRecord(t *testing.T, l fanout.Letter, reason string) {
	t.Helper()
	body, err := fanout.EncodeLetter(l, topology.QueueMessageBytes)
	if err != nil {
		t.Fatal(err)
	}
	f.put("stream-dead", held{body: string(body), reason: reason})
}

// What the stream function parked is planned again, for the targets concerned, if
// that is possible by now; the rest stays, with its reason.
func TestARecordThatWasParkedIsPlannedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		letter  fanout.Letter
		err     error
		targets []string
		left    int
		says    string
	}{
		"Decodable":      {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5))}, nil, []string{"a", "b"}, 0, "1 sent"},
		"OfItsEvent":     {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5)), Event: "1"}, nil, []string{"a", "b"}, 0, "1 sent"},
		"OfAnotherEvent": {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5)), Event: "1/1"}, nil, nil, 0, "1 deleted"},
		"OfOneTarget":    {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5)), Target: &fanout.Addressee{ConnectionID: "b", OperationID: "1"}}, nil, []string{"b"}, 0, "1 sent"},
		"OfOneWhoIsGone": {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5)), Target: &fanout.Addressee{ConnectionID: "z", OperationID: "1"}}, nil, nil, 0, "1 deleted"},
		"Undecodable":    {fanout.Letter{Record: json.RawMessage(undecodable)}, errRemain, nil, 1, "stays in stream-dead, record 7: stream record cannot be decoded"},
		"TooLarge":       {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 70_000))}, errRemain, nil, 1, "event is too large"},
		"Cut":            {fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 300_000))}, errRemain, nil, 1, "the row is in its table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.parkRecord(t, tt.letter, "a bug")
			tool, out := newTestTool(f, connected("a", "b"))
			tool.packer.subscriptions = topics{"newMessage/lobby": {{ConnectionID: "a", OperationID: "1", OperationKey: "k"}, {ConnectionID: "b", OperationID: "1", OperationKey: "k"}}}
			send(t, tool, options{queue: "stream-dead", yes: true}, tt.err)
			var got []string
			for _, b := range f.batches(t, topology.Fanout.Name) {
				got = append(got, connectionIDs(b)...)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.targets, got); diff != "" {
				t.Errorf("targets differ:\n%s", diff)
			}
			if left := f.bodies("stream-dead"); len(left) != tt.left || !strings.Contains(out.String(), tt.says) {
				t.Errorf("left %d; it says %s", len(left), out)
			}
		})
	}
}

func TestAParkedRecordIsShownWithItsContent(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkRecord(t, fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5)), Target: &fanout.Addressee{ConnectionID: "b", OperationID: "1"}}, "too large")
	f.parkRecord(t, fanout.Letter{Record: json.RawMessage(undecodable)}, "it has no content")
	tool, out := newTestTool(f, connected())
	for _, o := range []options{{}, {topic: "newMessage/lobby"}, {json: true}} {
		if err := tool.show(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	const first = "stream-dead  newMessage/lobby event 1  1 target  1 attempt  0s  too large\n"
	if want := first + "stream-dead  record 7  1 record  1 attempt  0s  it has no content\n" + first; !strings.HasPrefix(out.String(), want) {
		t.Errorf("it says %s", out)
	}
	var l line
	decoder := json.NewDecoder(strings.NewReader(out.String()[strings.Index(out.String(), "{"):]))
	if err := decoder.Decode(&l); err != nil || l.Parked == nil || !strings.Contains(string(l.Parked.Record), "xxxxx") {
		t.Errorf("object is %+v, %v", l, err)
	}
}

// A subscription with a bad row or a bad size does not keep a dead letter's event
// from the others.
func TestOneSubscriptionDoesNotKeepALetter(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkRecord(t, fanout.Letter{Record: json.RawMessage(chatRecord("lobby", "1", 5))}, "a bug")
	tool, _ := newTestTool(f, connected("a"))
	tool.packer.subscriptions = topics{"newMessage/lobby": {{ConnectionID: "b", OperationID: strings.Repeat("\x01", 20_000), OperationKey: "k"},
		{ConnectionID: "a", OperationID: "1", OperationKey: "k", Viewer: pubsub.Viewer{ID: "ada"}}}}
	send(t, tool, options{queue: "stream-dead", yes: true}, errRemain)
	if got := f.batches(t, topology.Fanout.Name); len(got) != 1 || got[0].Targets() != 1 || len(f.bodies("stream-dead")) != 1 {
		t.Errorf("sent %+v, left %v", got, f.bodies("stream-dead"))
	}
}
