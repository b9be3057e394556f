package dynamo

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// When its time is up an item is deleted whole, so it must outlive all its entries, in
// whatever order they come.
func TestAQuotasItemOutlivesItsEntries(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for i, life := range []time.Duration{topology.HostTTL, topology.ConnectionTTL, time.Minute, time.Second} {
		c := pubsub.Connection{ID: strconv.Itoa(i), Quota: "h", Expires: time.Now().Add(life)}
		if err := s.TakeQuota(t.Context(), c, 9); err != nil {
			t.Fatal(err)
		}
		out, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: &s.tables.Connections, Key: connectionKey(quotaPrefix + "h"), ConsistentRead: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		ttl, err := strconv.ParseInt(out.Item["ttl"].(*types.AttributeValueMemberN).Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		dies := time.Unix(ttl, 0)
		if left := entries(out.Item, func(e string) bool { return !expired(e, dies) }); len(left) > 0 {
			t.Errorf("after a connection of %v, the item ends before %v", life, left)
		}
	}
}
