package gql_test

import (
	"math"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/gql"
	"subwire/shared/memory"
)

// What resolvers read and write is tallied, and the pushes to listeners too.
func TestWhatAnOperationCostsIsTallied(t *testing.T) {
	t.Parallel()
	audiences := memory.New()
	if err := audiences.SetAudience(t.Context(), chat.Topic("loud"), 1000, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	schema := gql.Chat{Store: store{copies: true}, NewID: func() string { return "01B" },
		Audiences: &allowance.Audiences{Store: audiences, Chance: func() float64 { return 0 }}}.Schema()
	executor, err := gql.New(schema)
	if err != nil {
		t.Fatal(err)
	}
	const bytes = 7 + 3 + 100 // of a message: content, name and the rest
	written := allowance.Stored(bytes) + allowance.FannedOut(bytes)
	for name, tc := range map[string]struct {
		document string
		want     float64
	}{
		"Nothing":  {`{ __typename }`, 0},
		"Query":    {`{ getNewMessages(chatId: "quiet", limit: 100) { id } }`, allowance.Read(100 * (len("<hello>") + 103))},
		"Mutation": {`mutation { postMessage(chatId: "quiet", content: "1234567", senderName: "Ada") { id } }`, written},
		"ToMany":   {`mutation { postMessage(chatId: "loud", content: "1234567", senderName: "Ada") { id } }`, written + 1000*allowance.Sent(bytes)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := executor.Prepare(operation(tc.document, ""))
			if err != nil {
				t.Fatal(err)
			}
			ctx, tally := allowance.WithTally(t.Context())
			if result, err := x.Run(ctx, nil); err != nil {
				t.Fatal(string(result), err)
			}
			if got := tally.Take(); math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("%v units, want %v", got, tc.want)
			}
		})
	}
}
