package session_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
)

const here = pubsub.PresencePrefix + "a"

// presenceExecutor prepares a subscription of presence for whoever the function names.
type presenceExecutor func(v pubsub.Viewer) (string, error)

func (who presenceExecutor) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: here, Who: who, Stored: op}, nil
}

func TestWhoIsStoredAsPresent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		who  presenceExecutor
		want string // "" if the subscription is refused
	}{
		"Somebody":            {func(pubsub.Viewer) (string, error) { return "ada", nil }, "ada"},
		"UnlikeAnyOther":      {func(pubsub.Viewer) (string, error) { return "", nil }, "c"},
		"Refused":             {func(pubsub.Viewer) (string, error) { return "", pubsub.Refusal(pubsub.CodeInput, "no") }, ""},
		"NobodyCanSayWhoItIs": {func(pubsub.Viewer) (string, error) { return "", errors.New("secret") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Executor = tc.who
			_ = b.send(t.Context(), initFrame, subscribe("1", "subscription"))
			var found []string
			for s, err := range b.store.Subscriptions(t.Context(), here, time.Now()) {
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, s.Who)
			}
			if got := strings.Join(found, " "); got != tc.want {
				t.Errorf("present are %q", got)
			}
			if told := len(b.gateway.Frames("c")) > 1; told != (tc.want == "") {
				t.Errorf("the client got %q", b.gateway.Frames("c"))
			}
		})
	}
}

// Who comes pays for telling as many as were told last, that it has come and that it has
// left.
func TestPresenceIsPaidFor(t *testing.T) {
	t.Parallel()
	price := func(audience int) int {
		b := setup(t)
		b.Executor = presenceExecutor(func(v pubsub.Viewer) (string, error) { return v.ID, nil })
		if err := b.send(t.Context(), initFrame); err != nil {
			t.Fatal(err)
		}
		b.Audiences = &allowance.Audiences{Store: b.store}
		if err := b.store.SetAudience(t.Context(), here, audience, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		paid := b.allowing(1_000_000)
		m := b.frame(subscribe("1", "subscription"))
		m.Address = "192.0.2.1"
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return paid[allowance.Address("192.0.2.1")]
	}
	if few, many := price(0), price(100); many-few < 2*100-60 { // what is little counts as 60
		t.Errorf("it costs %d to come to nobody, and %d to come to 100", few, many)
	}
}
