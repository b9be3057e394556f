package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// tokens knows one good token for each viewer, good for its life, and the names of
// errors.
type tokens struct {
	life   time.Duration
	issued time.Time
}

func (a tokens) Authenticate(ctx context.Context, authorization string) (v pubsub.Viewer, life pubsub.Life, err error) {
	switch token := strings.TrimPrefix(authorization, "Bearer "); token {
	case "":
		return v, life, pubsub.ErrTokenMissing
	case "old":
		return v, life, pubsub.ErrTokenExpired
	case "bad":
		return v, life, fmt.Errorf("%w: wrong audience", pubsub.ErrTokenInvalid)
	case "down":
		return v, life, errors.New("no keys")
	case "slow":
		<-ctx.Done()
		return v, life, ctx.Err()
	default:
		return pubsub.Viewer{ID: token, Claims: `{"name":"` + token + `"}`}, pubsub.Life{Issued: a.issued, Expires: time.Now().Add(a.life)}, nil
	}
}

// private runs the document "who", whose result is the viewer. A subscription
// is for everybody but eve.
type private struct{}

func (private) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	if op.Document == "subscription" {
		return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Begin: func(_ context.Context, v pubsub.Viewer) error {
			if v.ID == "eve" {
				return pubsub.Errors{pubsub.NewError(pubsub.CodeForbidden, "no")}
			}
			return nil
		}}, nil
	}
	return pubsub.Executable{Kind: pubsub.KindQuery, Run: func(ctx context.Context, _ *pubsub.Event) (json.RawMessage, error) {
		return json.Marshal(pubsub.ViewerOf(ctx).ID)
	}}, nil
}

// guarded is a bench whose viewers need tokens that are good for life.
func guarded(t *testing.T, life time.Duration) (*bench, *checks) {
	t.Helper()
	b, queue := setup(t), &checks{}
	b.Auth, b.Checks, b.Executor = tokens{life: life}, queue, private{}
	b.InitMembers = []string{"client-name", "client-version"}
	return b, queue
}

func initWith(payload string) string {
	return `{"type":"connection_init","payload":` + payload + `}`
}

func TestAnInitNeedsAToken(t *testing.T) {
	t.Parallel()
	forbidden, expired := connectionError("4403", "Forbidden"), connectionError("4401", "Token expired")
	for name, tc := range map[string]struct{ init, want string }{
		"InHeaders":         {initWith(`{"headers":{"Authorization":"Bearer ada"}}`), ackFrame},
		"InThePayload":      {initWith(`{"Authorization":"Bearer ada"}`), ackFrame},
		"InAnyCase":         {initWith(`{"HEADERS":{"authorizatioN":"Bearer ada"}}`), ackFrame},
		"NullBesideIt":      {initWith(`{"authorization":null,"headers":{"Authorization":"Bearer ada"}}`), ackFrame},
		"NoPayload":         {initFrame, forbidden},
		"NoToken":           {initWith(`{"headers":{}}`), forbidden},
		"HeadersAreNoMap":   {initWith(`{"headers":["Authorization","Bearer ada"]}`), forbidden},
		"TokenIsNoText":     {initWith(`{"Authorization":{"Bearer":"ada"}}`), forbidden},
		"Refused":           {initWith(`{"Authorization":"Bearer bad"}`), forbidden},
		"Expired":           {initWith(`{"Authorization":"Bearer old"}`), expired},
		"TwoTokens":         {initWith(`{"Authorization":"Bearer ada","headers":{"Authorization":"Bearer eve"}}`), connectionError("4400", "connection_init has more than one Authorization")},
		"TwoSpellings":      {initWith(`{"Authorization":"Bearer ada","authorization":"Bearer eve"}`), connectionError("4400", "connection_init has more than one Authorization")},
		"KeysAreNotReached": {initWith(`{"Authorization":"Bearer down"}`), connectionError("4500", "Internal server error")},
		"KeysAreSlow":       {initWith(`{"Authorization":"Bearer slow"}`), connectionError("4500", "Internal server error")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, _ := guarded(t, time.Hour)
				if err := b.send(t.Context(), tc.init); (err != nil) != strings.HasPrefix(name, "KeysAre") {
					t.Error(err)
				}
				if busy := time.Since(b.start); busy > 5*time.Second {
					t.Errorf("that took %s", busy)
				}
				b.check(t, []string{tc.want}, tc.want != ackFrame)
			})
		})
	}
}

func TestAConnectionKeepsItsViewerAndNoToken(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t, time.Minute)
	err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada","token":"Bearer x","client-version":"`+strings.Repeat("x", 300)+`",
		"headers":{"Client-Name":"ios","Cookie":"secret"}}`), subscribe("1", "subscription"))
	if err != nil {
		t.Fatal(err)
	}
	c := b.store.Contents()
	got := c.Connections[0]
	want := pubsub.Viewer{ID: "ada", Claims: `{"name":"ada"}`}
	if got.Viewer != want || c.Subscriptions[0].Viewer != want {
		t.Errorf("viewer is %+v, of its subscription %+v", got.Viewer, c.Subscriptions[0].Viewer)
	}
	if diff := cmp.Diff(`{"client-name":"ios"}`, string(got.Init)); diff != "" {
		t.Errorf("of the payload is kept:\n%s", diff)
	}
	if left := time.Until(got.Expires); left > time.Minute || !got.Expires.Equal(c.Subscriptions[0].Expires) {
		t.Errorf("the connection is good for %s, its subscription until %s", left, c.Subscriptions[0].Expires)
	}
}

// A connection that has a viewer since its handshake needs no second token, and takes only
// one of the same viewer. It stays counted as it is, keeps its claims, as the second token
// may be one from before a revocation, and ends with the earlier token.
func TestAViewerOfTheHandshake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		init, want string
		life       time.Duration // of a second token
		left       time.Duration
	}{
		"NoToken":       {initFrame, ackFrame, time.Hour, 30 * time.Minute},
		"ItsOwn":        {initWith(`{"Authorization":"Bearer ada"}`), ackFrame, time.Hour, 30 * time.Minute},
		"OneThatIsOver": {initWith(`{"Authorization":"Bearer ada"}`), ackFrame, time.Minute, time.Minute},
		"Another's":     {initWith(`{"Authorization":"Bearer eve"}`), connectionError("4403", "Forbidden"), time.Hour, 0},
		"Refused":       {initWith(`{"Authorization":"Bearer bad"}`), connectionError("4403", "Forbidden"), time.Hour, 0},
		"Expired":       {initWith(`{"Authorization":"Bearer old"}`), connectionError("4401", "Token expired"), time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, _ := guarded(t, tc.life)
				b.MaxConnections = 1
				if err := b.store.DeleteConnection(t.Context(), "c"); err != nil {
					t.Fatal(err)
				}
				c := pubsub.Connection{ID: "c", InitDeadline: b.start.Add(time.Minute), Expires: b.start.Add(30 * time.Minute),
					Viewer: pubsub.Viewer{ID: "ada", Claims: `{"name":"of the handshake"}`}, Quota: "viewer/ada"}
				if err := errors.Join(b.store.TakeQuota(t.Context(), c, 1), b.store.PutConnection(t.Context(), c)); err != nil {
					t.Fatal(err)
				}
				if err := b.send(t.Context(), tc.init, subscribe("1", "who")); err != nil && tc.want == ackFrame {
					t.Error(err)
				}
				got := b.gateway.Frames("c")
				if got[0] != tc.want {
					t.Fatalf("got %q", got)
				}
				if tc.want != ackFrame {
					if !isFree(t, b.store, "viewer/ada") {
						t.Error("it still counts")
					}
					return
				}
				if want := `{"id":"1","type":"next","payload":"ada"}`; got[1] != want {
					t.Errorf("got %s", got[1])
				}
				stored := b.store.Contents().Connections[0]
				if stored.Viewer != c.Viewer {
					t.Errorf("its viewer is %+v", stored.Viewer)
				}
				if left := stored.Expires.Sub(b.start); left != tc.left || stored.Quota != "viewer/ada" || isFree(t, b.store, "viewer/ada") {
					t.Errorf("stored is %+v", stored)
				}
			})
		})
	}
}

// What is kept is measured as it is stored: JSON may make six bytes of one.
func TestWhatIsKeptOfAnInitIsShort(t *testing.T) {
	t.Parallel()
	for value, isKept := range map[string]bool{
		strings.Repeat("x", 256): true,
		strings.Repeat("x", 257): false,
		strings.Repeat("<", 43):  false,
	} {
		b, _ := guarded(t, time.Hour)
		if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada","client-name":"`+value+`"}`)); err != nil {
			t.Fatal(err)
		}
		if kept := b.store.Contents().Connections[0].Init; (len(kept) > 0) != isKept {
			t.Errorf("of %d times %.1s is kept %s", len(value), value, kept)
		}
	}
}

func TestATokenThatOutlivesItsConnectionIsNotWatched(t *testing.T) {
	t.Parallel()
	b, queue := guarded(t, 24*time.Hour)
	before := b.store.Contents().Connections[0].Expires
	if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
		t.Fatal(err)
	}
	if got := b.store.Contents().Connections[0].Expires; len(queue.bodies) > 0 || !got.Equal(before) {
		t.Errorf("queued %q; expires at %s", queue.bodies, got)
	}
}

func TestOperationsAreTheViewersOwn(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t, time.Hour)
	if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer eve"}`), subscribe("1", "subscription"), subscribe("2", "who")); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{ackFrame, `{"id":"1","type":"error","payload":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}`,
		`{"id":"2","type":"next","payload":"eve"}`, `{"id":"2","type":"complete"}`}, false)
	if subs := b.store.Contents().Subscriptions; len(subs) > 0 {
		t.Errorf("stored %+v", subs)
	}
}

func TestPastItsTokenAConnectionIsTold(t *testing.T) {
	t.Parallel()
	expired := connectionError("4401", "Connection expired")
	for name, tc := range map[string]struct {
		act  func(t *testing.T, b *bench, queue *checks)
		want []string
	}{
		"AtItsNextFrame": {func(t *testing.T, b *bench, _ *checks) {
			if err := b.send(t.Context(), subscribe("2", "who")); err != nil {
				t.Error(err)
			}
		}, []string{ackFrame, expired}},
		"ByItsCheck": {func(t *testing.T, b *bench, queue *checks) {
			d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
			if err := d.Check(t.Context(), queue.bodies[0]); err != nil {
				t.Error(err)
			}
		}, []string{ackFrame, expired}},
		"ByItsCheckIfItIsGone": {func(t *testing.T, b *bench, queue *checks) {
			if err := errors.Join(b.store.DeleteConnection(t.Context(), "c"), b.gateway.Delete(t.Context(), "c")); err != nil {
				t.Error(err)
			}
			d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
			if err := d.Check(t.Context(), queue.bodies[0]); err != nil {
				t.Error(err)
			}
		}, []string{ackFrame}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, queue := guarded(t, 5*time.Minute)
				if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`), subscribe("1", "subscription")); err != nil {
					t.Fatal(err)
				}
				if len(queue.bodies) != 1 || queue.delay < 5*time.Minute || queue.delay > 5*time.Minute+2*time.Second {
					t.Fatalf("queued %q after %s", queue.bodies, queue.delay)
				}
				time.Sleep(queue.delay)
				tc.act(t, b, queue)
				b.check(t, tc.want, true)
			})
		})
	}
}

// SQS delays by 15 minutes at most: a longer wait is passed on while the connection
// exists.
func TestALongWaitIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, queue := guarded(t, 40*time.Minute)
		if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
			t.Fatal(err)
		}
		d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
		var delays []time.Duration
		for i := 0; i < len(queue.bodies); i++ {
			delays = append(delays, queue.delay.Truncate(time.Minute))
			time.Sleep(queue.delay)
			if err := d.Check(t.Context(), queue.bodies[i]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]time.Duration{15 * time.Minute, 15 * time.Minute, 10 * time.Minute}, delays); diff != "" {
			t.Errorf("delays differ:\n%s", diff)
		}
		b.check(t, []string{ackFrame, connectionError("4401", "Connection expired")}, true)

		again, queue := guarded(t, 40*time.Minute)
		if err := again.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.store.DeleteConnection(t.Context(), "c"), again.gateway.Delete(t.Context(), "c")); err != nil {
			t.Fatal(err)
		}
		d = connection.Disconnector{Connections: again.store, Gateway: again.gateway, Checks: queue}
		if err := d.Check(t.Context(), queue.bodies[0]); err != nil || len(queue.bodies) != 1 {
			t.Errorf("a connection that is gone is watched on: %v", err)
		}
	})
}

func TestAViewerHasSoManyConnections(t *testing.T) {
	t.Parallel()
	b, _ := guarded(t, time.Hour)
	b.MaxConnections = 2
	connect := func(id, viewer string) string {
		b.gateway.Open(id)
		if err := b.store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: b.start.Add(time.Minute), Expires: b.start.Add(2 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		m := b.frame(initWith(`{"Authorization":"Bearer ` + viewer + `"}`))
		m.ConnectionID = id
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return b.gateway.Frames(id)[0]
	}
	tooMany := connectionError("4403", "Too many connections")
	for i, tc := range []struct{ id, viewer, want string }{
		{"1", "ada", ackFrame}, {"2", "ada", ackFrame}, {"3", "ada", tooMany}, {"4", "bob", ackFrame}, {"5", "ada", tooMany}} {
		if got := connect(tc.id, tc.viewer); got != tc.want {
			t.Errorf("connection %d got %s", i, got)
		}
	}
	if err := b.store.DeleteConnection(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if got := connect("6", "ada"); got != ackFrame {
		t.Errorf("after one is gone, another got %s", got)
	}
}

// slowLoad is a store whose first load of a connection takes long.
type slowLoad struct {
	*memory.Store
	takes time.Duration
}

func (s *slowLoad) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	time.Sleep(s.takes)
	s.takes = 0
	return s.Store.Connection(ctx, id)
}

func TestASlowStoreAndASlowIssuerLeaveTimeToTellTheClient(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{0, 19 * time.Second, 21 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := guarded(t, time.Hour)
			b.Connections = &slowLoad{b.store, takes}
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			_ = b.Receive(ctx, b.frame(initWith(`{"Authorization":"Bearer slow"}`)))
			if got := strings.Join(b.gateway.Frames("c"), ""); !strings.Contains(got, "4500") {
				t.Errorf("after a load of %s the client hears %q", takes, got)
			}
		})
	}
}
