package chat

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/table"
)

// What resolvers read and write is tallied, and the pushes to listeners too.
func TestWhatAnOperationCostsIsTallied(t *testing.T) {
	t.Parallel()
	store := memory.New()
	for _, topic := range []string{Topic("loud"), typingTopic("loud"), readTopic("read")} {
		if err := store.SetAudience(t.Context(), topic, 1000, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	executor := gql.MustNew(New().MustOpen(subwire.Env{Tables: store, Anonymous: true, NewID: func() string { return "01B" },
		Audiences: &allowance.Audiences{Store: store, Chance: func() float64 { return 0 }}}))
	m := Message{ID: "01B", ChatID: "quiet", Content: "1234567", SenderName: "Ada"}
	row, err := table.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	said := m
	said.ChatID = "read"
	if err := errors.Join(put(t.Context(), store, m), put(t.Context(), store, said)); err != nil {
		t.Fatal(err)
	}
	const typed, read = len(`{"chatId":"loud","who":"a","name":"Ada"}`), len(`{"chatId":"read","reader":"a","name":"Ada","messageId":"01B","ttl":1803658000}`)
	const root = len(`{"id":"01B","chatId":"quiet","content":"1234567","senderName":"Ada","createdAt":"2026-11-24T12:00:00.005Z"}`)
	bytes := table.Bytes(row)
	const version = len(table.Version) + 10 // bytes
	for name, tc := range map[string]struct {
		document    string
		least, most float64
	}{
		"Nothing":  {`{ __typename }`, 0, 0},
		"Query":    {`{ getNewMessages(chatId: "quiet", limit: 100) { id } }`, allowance.Read(bytes), allowance.Read(bytes)},
		"Mutation": {`mutation { postMessage(chatId: "other", content: "1234567", senderName: "Ada") { id } }`, allowance.Stored(bytes) + allowance.FannedOut(root-9), allowance.Stored(bytes+9+version) + allowance.FannedOut(root)},
		"ToMany": {`mutation { postMessage(chatId: "loud", content: "1234567", senderName: "Ada") { id } }`,
			1000 * allowance.Sent(root-9), allowance.Stored(bytes+9+version) + allowance.FannedOut(root) + 1000*allowance.Sent(root)},
		"Typing": {`mutation { typing(chatId: "loud", name: "Ada", as: "a") { who } }`,
			allowance.Stored(typed) + allowance.FannedOut(typed) + 1000*allowance.Sent(typed),
			allowance.Stored(typed+150) + allowance.FannedOut(typed) + 1000*allowance.Sent(typed)},
		"MarkRead": {`mutation { markRead(chatId: "read", messageId: "01B", name: "Ada", as: "a") { reader } }`,
			2*allowance.Stored(read-20) + allowance.Read(bytes) + allowance.FannedOut(read) + 1000*allowance.Sent(read),
			2*allowance.Stored(read+version) + allowance.Read(bytes) + allowance.Read(0) + allowance.FannedOut(read) + 1000*allowance.Sent(read)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := executor.Prepare(operation(tc.document, ""))
			if err != nil {
				t.Fatal(err)
			}
			ctx, tally := allowance.WithTally(t.Context())
			if result, err := x.Run(ctx, nil); err != nil || strings.Contains(string(result), "errors") {
				t.Fatal(string(result), err)
			}
			if got := tally.Take(); got < tc.least-1e-9 || got > tc.most+1e-9 || math.IsNaN(got) {
				t.Errorf("%v units, want %v to %v", got, tc.least, tc.most)
			}
		})
	}
}

// quick announces nothing.
type quick struct{}

func (quick) Announce(context.Context, []pubsub.Event) {}
func (quick) Hold(...subwire.Topic)                    {}

// TestTheFastWayIsPaidFor by who writes.
func TestTheFastWayIsPaidFor(t *testing.T) {
	t.Parallel()
	const document = `mutation { postMessage(chatId: "loud", content: "1", senderName: "Ada") { id } }`
	cost := func(env subwire.Env) float64 {
		store := memory.New()
		if err := store.SetAudience(t.Context(), Topic("loud"), 100, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		env.Tables, env.Anonymous, env.Audiences = store, true, &allowance.Audiences{Store: store}
		env.NewID = func() string { return "01B" }
		env.Now = func() time.Time { return time.UnixMilli(1_764_000_000_005) }
		x, err := gql.MustNew(New().MustOpen(env)).Prepare(operation(document, ""))
		if err != nil {
			t.Fatal(err)
		}
		ctx, tally := allowance.WithTally(t.Context())
		if result, err := x.Run(ctx, nil); err != nil || strings.Contains(string(result), "errors") {
			t.Fatal(string(result), err)
		}
		return tally.Take()
	}
	root := len(`{"id":"01B","chatId":"loud","content":"1","senderName":"Ada","createdAt":"2025-11-24T16:00:00.005Z"}`)
	more, want := cost(subwire.Env{Fast: quick{}})-cost(subwire.Env{}), allowance.Announced(root, 100)
	if math.Abs(more-want) > 0.01 {
		t.Errorf("%v units more, want %v", more, want)
	}
}
