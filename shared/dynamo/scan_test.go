package dynamo

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

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
