package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// What a payer has spent in a window is kept in the connections table, like what a
// quota has.
const spentPrefix = "spent/"

// spentTTL is how long it is kept from the start of the window: its readers' clocks may
// differ.
const spentTTL = 10 * time.Minute

// Spend implements allowance.Store. An attempt that lost its answer counts twice, which
// does no harm to a bound.
func (s *Store) Spend(ctx context.Context, payer string, window time.Time, units int) (sum int, err error) {
	id := spentPrefix + payer + "/" + strconv.FormatInt(window.Unix(), 10)
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(id),
		UpdateExpression:         aws.String("ADD units :units SET #ttl = :ttl"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":units": number(int64(units)),
			":ttl": number(window.Add(spentTTL).Unix())},
		ReturnValues: types.ReturnValueUpdatedNew,
	})
	if err != nil {
		return 0, fmt.Errorf("count what was spent: %w", err)
	}
	spent, ok := numberOf(out.Attributes, "units")
	if !ok {
		return 0, fmt.Errorf("count what was spent: no sum in the answer")
	}
	return int(spent), nil
}
