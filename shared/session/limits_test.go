package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"subwire/shared/session"
	"subwire/shared/trusted"
)

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		send   []string
		want   []string
		closed bool
	}{
		"InitAtTheLimit":  {send: []string{`{"type":"connection_init","payload":{"a":"1234"}}`}, want: []string{ackFrame}},
		"InitOverIt":      {send: []string{`{"type":"connection_init","payload":{"a":"12345"}}`}, want: []string{connectionError("4400", "connection_init payload is larger than 12 bytes")}, closed: true},
		"PingIsNotStored": {send: []string{`{"type":"ping","payload":{"a":"12345"}}`}, want: []string{`{"type":"pong","payload":{"a":"12345"}}`}},
		"IDAtTheLimit":    {send: []string{initFrame, subscribe("1234", "subscription")}, want: []string{ackFrame}},
		"IDOverIt":        {send: []string{initFrame, subscribe("12345", "subscription")}, want: []string{ackFrame, connectionError("4400", "operation id is longer than 4 bytes")}, closed: true},
		"CompleteOverIt":  {send: []string{initFrame, `{"type":"complete","id":"12345"}`}, want: []string{ackFrame, connectionError("4400", "operation id is longer than 4 bytes")}, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.MaxIDBytes, b.MaxInitBytes = 4, 12
			if err := b.send(t.Context(), tc.send...); err != nil {
				t.Error(err)
			}
			b.check(t, tc.want, tc.closed)
		})
	}
}

// sendAt hands over n pings, received at that time.
func (b *bench) sendAt(t *testing.T, n int, at time.Duration) {
	t.Helper()
	for range n {
		m := session.Frame{ConnectionID: "c", Data: []byte(`{"type":"pong"}`), At: b.start.Add(at)}
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAClientThatSendsTooFastIsRefused(t *testing.T) {
	t.Parallel()
	refused := []string{connectionError("4429", "Too many messages")}
	for name, tc := range map[string]struct {
		send func(t *testing.T, b *bench)
		want []string
	}{
		"ABurst":         {func(t *testing.T, b *bench) { b.sendAt(t, 8, 0) }, nil}, // four seconds' worth
		"MoreThanABurst": {func(t *testing.T, b *bench) { b.sendAt(t, 9, 0) }, refused},
		"OneSecondLater": {func(t *testing.T, b *bench) { b.sendAt(t, 8, 0); b.sendAt(t, 2, time.Second) }, nil},
		"TooManyLater":   {func(t *testing.T, b *bench) { b.sendAt(t, 8, 0); b.sendAt(t, 3, time.Second) }, refused},
		"OutOfOrder":     {func(t *testing.T, b *bench) { b.sendAt(t, 8, time.Second); b.sendAt(t, 1, 0) }, refused},
		"AMinuteLater":   {func(t *testing.T, b *bench) { b.sendAt(t, 1, 0); b.sendAt(t, 9, time.Minute) }, refused}, // it does not save up
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Rate = session.NewFrameRate(2)
			tc.send(t, b)
			b.check(t, tc.want, tc.want != nil)
		})
	}
}

// One connection's messages do not count for another, and the memory of a process is
// bounded.
func TestFramesAreCountedByConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Rate = session.NewFrameRate(2)
	for i := range 20_000 {
		m := session.Frame{ConnectionID: fmt.Sprint("other", i), Data: []byte(`{`), At: b.start}
		b.gateway.Open(m.ConnectionID)
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := b.gateway.Frames(m.ConnectionID); len(got) != 1 || strings.Contains(got[0], "Too many") {
			t.Fatalf("got %q", got)
		}
	}
}

func TestOnlyTrustedDocumentsRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	documents, err := trusted.Decode([]byte(`{"1":"query"}`))
	if err != nil {
		t.Fatal(err)
	}
	b.Documents = documents
	byHash := `{"id":"2","type":"subscribe","payload":{"query":"","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + trusted.ID("query") + `"}}}}`
	if err := b.send(t.Context(), initFrame, subscribe("1", "query"), byHash, subscribe("3", "subscription")); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{ackFrame,
		`{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`,
		`{"id":"2","type":"next","payload":{"data":{}}}`, `{"id":"2","type":"complete"}`,
		`{"id":"3","type":"error","payload":[{"message":"Only registered documents may run.","extensions":{"code":"DOCUMENT_NOT_TRUSTED"}}]}`}, false)
}
