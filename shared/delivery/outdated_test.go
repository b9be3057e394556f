package delivery_test

import (
	"encoding/json"
	"errors"
	"testing"

	"subwire/shared/pubsub"
)

// changed is an executor whose schema has changed: it refuses every document.
type changed struct{ err error }

func (c changed) Prepare(pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{}, c.err
}

// A client whose subscription the release no longer runs is told so in plain words, with
// the code and the place of the error, once, and gets no later event.
func TestASubscriptionThatTheReleaseNoLongerRuns(t *testing.T) {
	t.Parallel()
	const words = "The schema has changed, and this subscription has ended. "
	for name, tt := range map[string]struct{ code, want string }{
		"AFieldIsGone":    {pubsub.CodeValidation, words + "no"},
		"AValueIsGone":    {pubsub.CodeInput, words + "no"},
		"TheSyntaxIs":     {pubsub.CodeParse, words + "no"},
		"ALimitIsLower":   {pubsub.CodeLimit, "no"},
		"ItsTopicIsTaken": {pubsub.CodeForbidden, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 2, same("doc"))
			refused := pubsub.Errors{pubsub.NewError(tt.code, "no"), pubsub.NewError(tt.code, "nor this")}
			refused[0].Locations = []pubsub.Location{{Line: 2, Column: 3}}
			b.Sender.Executor = changed{refused}
			batch := b.batch(t)
			for range 2 { // the queue gives it out again
				if _, err := b.deliver(t, batch); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"c0", "c1"} {
				frames := b.gateway.Frames(id)
				if len(frames) != 1 {
					t.Fatalf("%s got %v", id, frames)
				}
				var m struct {
					Type    string
					Payload pubsub.Errors
				}
				if err := json.Unmarshal([]byte(frames[0]), &m); err != nil {
					t.Fatal(err)
				}
				if m.Type != "error" || len(m.Payload) != 2 || m.Payload[0].Message != tt.want ||
					m.Payload[0].Extensions["code"] != tt.code || m.Payload[0].Locations[0].Line != 2 || m.Payload[1].Message != "nor this" {
					t.Errorf("%s got %s", id, frames[0])
				}
			}
			if rows := len(b.store.Contents().Subscriptions); rows != 0 || len(b.retries.batches)+len(b.retries.parked) != 0 {
				t.Errorf("%d subscriptions are left, %d batches queued, %v parked", rows, len(b.retries.batches), b.retries.parked)
			}
			if refused[0].Message != "no" {
				t.Error("the executor's error has changed")
			}
		})
	}
}

// A fault of the executor says nothing about the operation.
func TestAnOperationThatCannotBeJudgedIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("doc"))
	b.Sender.Executor = changed{errors.New("a panic")}
	if _, err := b.deliver(t, b.batch(t)); err != nil || len(b.retries.batches) != 1 || len(b.gateway.Frames("c0")) != 0 {
		t.Errorf("%v, %d batches queued, frames %v", err, len(b.retries.batches), b.gateway.Frames("c0"))
	}
}
