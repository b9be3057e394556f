package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// personal runs two documents: "mine" shows the viewer, "ours" does not look. The
// viewer "eve" may have neither. With fail, a run fails.
type personal struct {
	runs *atomic.Int32
	fail bool
}

func (e personal) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t",
		Allow: func(v pubsub.Viewer, _ *pubsub.Event) error {
			if v.ID == "eve" {
				return pubsub.Errors{pubsub.NewError(pubsub.CodeForbidden, "no")}
			}
			return nil
		},
		Run: func(ctx context.Context, _ *pubsub.Event) (json.RawMessage, error) {
			e.runs.Add(1)
			if e.fail {
				return nil, errors.New("no table")
			}
			if op.Document == "mine" {
				return json.Marshal(pubsub.ViewerOf(ctx))
			}
			return json.RawMessage(`{}`), nil
		}}, nil
}

// crowd has one connection for each viewer, named after it and its number, all with the
// document, and a sender for them.
func crowd(t *testing.T, document string, e personal, viewers ...string) *bench {
	t.Helper()
	b := &bench{store: memory.New(), gateway: &memory.Gateway{}, retries: &retries{}}
	b.Sender = delivery.New(delivery.Config{Store: b.store, Executor: e, Gateway: b.gateway,
		Retries: b.retries, Dead: b.retries, Workers: 4, Log: slog.New(slog.DiscardHandler)})
	now, op := time.Now(), pubsub.Operation{Document: document}
	for i, viewer := range viewers {
		v := pubsub.Viewer{ID: viewer}
		if viewer != "" {
			v.Claims = `{"name":"` + strings.ToUpper(viewer) + `"}`
		}
		id := fmt.Sprint(viewer, i)
		b.gateway.Open(id)
		err := errors.Join(
			b.store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			b.store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{Viewer: v}, now),
			b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "s", Topic: "t",
				OperationKey: op.Key(), Viewer: v, Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10))
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestAnOperationIsExecutedOncePerViewerThatItsResultDependsOn(t *testing.T) {
	t.Parallel()
	for document, tc := range map[string]struct {
		runs int32
		want func(viewer string) string
	}{
		"ours": {1, func(string) string { return `{}` }},
		"mine": {3, func(viewer string) string {
			if viewer == "" {
				return `{"id":""}`
			}
			return fmt.Sprintf(`{"id":%q,"claims":"{\"name\":\"%s\"}"}`, viewer, strings.ToUpper(viewer))
		}},
	} {
		t.Run(document, func(t *testing.T) {
			t.Parallel()
			viewers := []string{"ada", "bob", "", "ada", "bob", "", "eve", "ada"}
			var runs atomic.Int32
			b := crowd(t, document, personal{runs: &runs}, viewers...)
			if report, err := b.deliver(t, b.batch(t)); err != nil || report.Delivered != len(viewers) {
				t.Errorf("got %+v, %v", report, err)
			}
			if got := runs.Load(); got != tc.runs {
				t.Errorf("executed %d times, want %d", got, tc.runs)
			}
			for i, viewer := range viewers {
				want := `{"id":"s","type":"next","payload":` + tc.want(viewer) + `}`
				if viewer == "eve" {
					want = `{"id":"s","type":"error","payload":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}`
				}
				if diff := cmp.Diff([]string{want}, b.gateway.Frames(fmt.Sprint(viewer, i))); diff != "" {
					t.Errorf("%s got something else:\n%s", viewer, diff)
				}
			}
			for _, s := range b.store.Contents().Subscriptions {
				if s.Viewer.ID == "eve" {
					t.Error("the subscription that was refused is still there")
				}
			}
			if len(b.gateway.Sockets()) != len(viewers) {
				t.Error("a refused subscription cost its socket")
			}
		})
	}
}

func TestTargetsThatAreTriedLaterKeepTheirViewers(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	b := crowd(t, "mine", personal{runs: &runs}, "ada", "bob")
	b.gateway.Fault = func(id string, _ []byte) (bool, error) {
		if strings.HasPrefix(id, "bob") {
			return false, pubsub.ErrBusy
		}
		return true, nil
	}
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 1, Retried: 1}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	b.gateway.Fault = nil
	if report, err := b.deliver(t, b.retries.batches[0]); err != nil || report.Delivered != 1 {
		t.Fatalf("got %+v, %v", report, err)
	}
	if got := b.gateway.Frames("bob1"); len(got) != 1 || !strings.Contains(got[0], `"id":"bob"`) {
		t.Errorf("bob got %q", got)
	}
}

func TestAFailedExecutionLeavesItsTargetsForLater(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	b := crowd(t, "ours", personal{runs: &runs, fail: true}, "ada", "bob", "eve")
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 1, Retried: 2}) { // eve hears that she may not
		t.Errorf("got %+v, %v", report, err)
	}
	if got := runs.Load(); got != 1 {
		t.Errorf("executed %d times", got)
	}
	var left []fanout.Target
	for _, task := range b.retries.batches[0].Tasks {
		left = append(left, task.Targets...)
	}
	if len(left) != 2 {
		t.Errorf("left %+v", left)
	}
}
