package dynamo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/storetest"
	"subwire/shared/topology"
)

// DynamoDB deletes an expired item within days ("Working with expired items"). The contract
// does not change if that is at once.
func TestStoreWhereTTLDeletesAtOnce(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	o := s.client.Options()
	o.HTTPClient = eager{s.client, map[string]topology.Table{
		s.tables.Connections: topology.Connections, s.tables.Subscriptions: topology.Subscriptions,
		s.tables.Operations: topology.Operations, s.tables.Products[storetest.Singles.Name]: storetest.Singles}}
	quick := New(dynamodb.New(o), s.tables)
	quick.page = aws.Int32(7)
	storetest.Run(t, quick)
}

// eager is an HTTP client of a server that deletes an item which has expired before it
// answers the request that wrote it.
type eager struct {
	server *dynamodb.Client
	tables map[string]topology.Table // by physical name
}

// seconds are numbers that may be an expiry.
var seconds = regexp.MustCompile(`"N":"([0-9]{10})"`)

func (e eager) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer, _, err := exchange(r)
	now := time.Now().Unix()
	past := func(number [][]byte) bool {
		at, _ := strconv.ParseInt(string(number[1]), 10, 64)
		return at < now
	}
	writes := []string{"PutItem", "UpdateItem", "BatchWriteItem", "TransactWriteItems"}
	if err != nil || !slices.Contains(writes, actionOf(r)) || !slices.ContainsFunc(seconds.FindAllSubmatch(body, -1), past) {
		return answer, err
	}
	ctx := context.WithoutCancel(r.Context()) // the store's time for a request is DynamoDB's, not the sweep's
	for name, table := range e.tables {
		if !bytes.Contains(body, []byte(`"`+name+`"`)) {
			continue
		}
		if err := e.sweep(ctx, name, table, now); err != nil {
			return nil, fmt.Errorf("delete what has expired in %s: %w", name, err)
		}
	}
	return answer, nil
}

// sweep deletes what expired before now.
func (e eager) sweep(ctx context.Context, name string, table topology.Table, now int64) error {
	pages := dynamodb.NewScanPaginator(e.server, &dynamodb.ScanInput{TableName: &name,
		ConsistentRead: aws.Bool(true), FilterExpression: aws.String("#ttl < :now"),
		ExpressionAttributeNames:  map[string]string{"#ttl": table.TTL},
		ExpressionAttributeValues: attributes{":now": number(now)}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			maps.DeleteFunc(item, func(name string, _ types.AttributeValue) bool { return name != table.Key && name != table.Sort })
			_, err := e.server.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &name, Key: item,
				ConditionExpression:       aws.String("#ttl < :now"),
				ExpressionAttributeNames:  map[string]string{"#ttl": table.TTL},
				ExpressionAttributeValues: attributes{":now": number(now)}})
			if _, renewed := failedCondition(err); err != nil && !renewed {
				return err
			}
		}
	}
	return nil
}
