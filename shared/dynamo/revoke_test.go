package dynamo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/connection"
	"subwire/shared/pubsub"
)

// endAll deletes the connections of the checks that a revocation queues.
type endAll struct{ s *Store }

func (e endAll) SendEach(ctx context.Context, bodies [][]byte) error {
	d := connection.Disconnector{Connections: e.s, Gateway: deaf{}}
	for _, body := range bodies {
		if err := d.Check(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// deaf is a gateway that takes everything.
type deaf struct{}

func (deaf) Post(context.Context, string, []byte) error { return nil }
func (deaf) Delete(context.Context, string) error       { return nil }

// Whichever request of a connection_init a revocation crosses, and however that request
// ends, the connection is refused, or it is gone afterwards.
func TestARevocationCrossesAnInit(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for name, before := range map[string]fault{"NoFault": noFault, "NotApplied": notApplied, "Applied": applied} {
		for step := 1; step <= 4; step++ {
			t.Run(fmt.Sprint(name, step), func(t *testing.T) {
				t.Parallel()
				viewer := fmt.Sprint(name, step)
				c := pubsub.Connection{ID: viewer, InitDeadline: time.Now().Add(time.Minute), Expires: time.Now().Add(time.Hour)}
				if err := s.PutConnection(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				revoke := func() {
					if _, err := (connection.Revoker{Quotas: s, Checks: endAll{s}}).Revoke(t.Context(), viewer); err != nil {
						t.Error(err)
					}
				}
				requests := 0
				crossed := failing(s, http.DefaultTransport, func(string) (fault, string) {
					switch requests++; requests {
					case step - 1:
						return before, throttle
					case step:
						revoke()
					}
					return noFault, ""
				})
				c.Quota = "viewer/" + viewer
				err := connection.TakeQuota(t.Context(), 0, crossed, &c, 50)
				if err == nil {
					err = crossed.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{Quota: c.Quota}, time.Now())
				}
				if err != nil && !errors.Is(err, pubsub.ErrTokenRevoked) && !errors.Is(err, pubsub.ErrGone) {
					t.Error(err)
				}
				if requests < step {
					revoke()
				}
				if found, gone := s.Connection(t.Context(), c.ID); gone == nil && found.Acknowledged {
					t.Errorf("it is acknowledged: %+v", found)
				}
			})
		}
	}
}

// A revocation costs a write for each part, and reads and scans nothing.
func TestARevocationReadsNoTable(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for i := range 60 {
		c := pubsub.Connection{ID: strconv.Itoa(i), Quota: "viewer/" + []string{"ada", "bob"}[i%2], Expires: time.Now().Add(time.Hour)}
		if err := errors.Join(s.PutConnection(t.Context(), c), connection.TakeQuota(t.Context(), 0, s, &c, 0)); err != nil {
			t.Fatal(err)
		}
	}
	counted, answered := counting(s)
	n, err := connection.Revoker{Quotas: counted, Checks: endAll{s}}.Revoke(t.Context(), "ada")
	if err != nil || n != 30 || !maps.Equal(answered.requests, map[string]int{"UpdateItem": 65}) {
		t.Errorf("%d connections, %v, %v", n, answered.requests, err)
	}
	clear(answered.requests)
	if err := (endAll{counted}).SendEach(t.Context(), [][]byte{[]byte(`{"connectionId":"1","expires":1,"revoked":true}`)}); err != nil {
		t.Error(err)
	}
	if allowed := []string{"UpdateItem", "DeleteItem", "BatchWriteItem"}; slices.ContainsFunc(slices.Collect(maps.Keys(answered.requests)),
		func(action string) bool { return !slices.Contains(allowed, action) }) || len(answered.requests) == 0 {
		t.Errorf("to end one: %v", answered.requests)
	}
	left := 0
	for c, err := range s.Connections(t.Context()) {
		if n, _ := strconv.Atoi(c.ID); err != nil || n%2 == 0 {
			t.Errorf("left is %s, %v", c.ID, err)
		}
		left++
	}
	if left != 29 {
		t.Errorf("left are %d connections", left)
	}
}

// A revoked quota's item is kept for a token's life, whoever is counted there later.
func TestARevocationIsKept(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	if _, err := s.Revoke(t.Context(), "q", time.Now()); err != nil {
		t.Fatal(err)
	}
	c := pubsub.Connection{ID: "1", Quota: "q", Expires: time.Now().Add(time.Minute), Issued: time.Now().Add(time.Hour)}
	if err := s.TakeQuota(t.Context(), c, 9); err != nil {
		t.Fatal(err)
	}
	out, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &s.tables.Connections,
		Key: connectionKey(quotaPrefix + "q"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := strconv.ParseInt(out.Item["ttl"].(*types.AttributeValueMemberN).Value, 10, 64)
	if left := time.Until(time.Unix(ttl, 0)); err != nil || left < revocationTTL {
		t.Errorf("it is kept for %s, %v", left, err)
	}
}
