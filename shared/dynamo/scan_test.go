package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
)

func TestConnectionsYieldsAllThatAreThere(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.page = aws.Int32(3)
	want := map[string]bool{}
	for i := range 10 {
		c := pubsub.Connection{ID: fmt.Sprint("c", i), Quota: "address/1", ConnectedAt: time.Now(), Expires: time.Now().Add(time.Hour)}
		if i == 0 {
			c.Expires = time.Now().Add(-time.Hour)
		} else {
			want[c.ID] = true
		}
		if err := s.PutConnection(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := s.TakeQuota(t.Context(), c, 100); err != nil { // a counted connection is not a connection
			t.Fatal(err)
		}
	}
	lease := pubsub.Connection{ID: "node~h:1~b", Quota: "address/1", ConnectedAt: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := s.PutConnection(t.Context(), lease); err != nil { // nor is that of a process that holds sockets
		t.Fatal(err)
	}
	for c, err := range s.Connections(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[c.ID] || c.Quota != "address/1" {
			t.Errorf("got %+v", c)
		}
		delete(want, c.ID)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestOperationsYieldsAllWithWhenTheyWereLastOfUse(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.page = aws.Int32(2)
	want := map[string]Stored{}
	for i := range 5 {
		key, expires := fmt.Sprint("k", i), time.Unix(time.Now().Unix()+int64(i), 0)
		op := pubsub.Operation{Document: "subscription { a }", Name: "A", Variables: json.RawMessage(`{"a":1}`)}
		want[key] = Stored{key, op, expires}
		sub := pubsub.Subscription{OperationKey: key, Expires: expires}
		for range 2 { // a second subscriber stores it again
			if err := s.PutOperation(t.Context(), sub.OperationKey, op, sub.Expires); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]Stored{}
	for op, err := range s.Operations(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[op.Key] = op
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.Operations(ctx) {
		cancel() // between two pages
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			return
		}
	}
	t.Error("a scan that was cut short ended like a whole one")
}
