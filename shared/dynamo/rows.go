package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// productTable is the physical name of a product's table.
func (s *Store) productTable(t topology.Table) *string { return aws.String(s.tables.Products[t.Name]) }

// productKey is the key of a row of the table.
func productKey(t topology.Table, k table.Key) attributes {
	key := attributes{t.Key: text(k.Partition)}
	if t.Sort != "" {
		key[t.Sort] = text(k.Sort)
	}
	return key
}

// GetRow implements table.Store.
func (s *Store) GetRow(ctx context.Context, t topology.Table, k table.Key, bytes int) (table.Row, error) {
	budget := pubsub.BudgetOf(ctx)
	reserved, err := budget.Reserve(bytes, bytes)
	if err != nil {
		return nil, fmt.Errorf("get row of %s: %w", t.Name, err)
	}
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: s.productTable(t), Key: productKey(t, k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("get row of %s: %w", t.Name, err)
	}
	budget.Return(reserved - wholeUnits(table.Bytes(out.Item)))
	if out.Item == nil {
		return nil, table.ErrNotFound
	}
	return out.Item, nil
}

// PutRow implements table.Store.
func (s *Store) PutRow(ctx context.Context, t topology.Table, r table.Row, c table.Condition) error {
	in := &dynamodb.PutItemInput{TableName: s.productTable(t), Item: r,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	demand(in, t, c)
	tries, perhapsPut := 0, false // by an earlier try
	err := retry(ctx, func(ctx context.Context) error {
		tries++
		_, err := s.client.PutItem(ctx, in)
		perhapsPut = perhapsPut || err != nil && !isClientsFault(err)
		return err
	})
	if old, isRefused := failedCondition(err); isRefused {
		switch {
		case tries > 1 && reflect.DeepEqual(table.Normal(old), table.Normal(r)):
			return nil // an earlier try has put it, but lost its answer
		case perhapsPut && c.Version != nil && old != nil:
			return table.ErrUnknown
		}
		return table.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("put row of %s: %w", t.Name, err)
	}
	return nil
}

// isClientsFault reports whether DynamoDB has refused a request, such as one that it
// throttles or whose condition does not hold, and so has not applied it.
func isClientsFault(err error) bool {
	answer, ok := errors.AsType[smithy.APIError](err)
	return ok && answer.ErrorFault() == smithy.FaultClient
}

// demand makes the put depend on the condition.
func demand(in *dynamodb.PutItemInput, t topology.Table, c table.Condition) {
	switch {
	case c.Absent:
		in.ConditionExpression = aws.String("attribute_not_exists(#key)")
		in.ExpressionAttributeNames = map[string]string{"#key": t.Key}
	case c.Newer != "":
		in.ConditionExpression = aws.String("attribute_not_exists(#newer) OR #newer < :newer OR #ttl < :now")
		in.ExpressionAttributeNames = map[string]string{"#newer": c.Newer, "#ttl": t.TTL}
		in.ExpressionAttributeValues = attributes{":newer": in.Item[c.Newer], ":now": number(c.Now.Unix())}
	case c.Version == nil:
	case *c.Version == 0:
		in.ConditionExpression = aws.String("attribute_exists(#key) AND attribute_not_exists(#version)")
		in.ExpressionAttributeNames = map[string]string{"#key": t.Key, "#version": table.Version}
	default:
		in.ConditionExpression = aws.String("#version = :version")
		in.ExpressionAttributeNames = map[string]string{"#version": table.Version}
		in.ExpressionAttributeValues = attributes{":version": number(*c.Version)}
	}
}

// DeleteRow implements table.Store.
func (s *Store) DeleteRow(ctx context.Context, t topology.Table, k table.Key) error {
	_, err := call(ctx, s.client.DeleteItem, &dynamodb.DeleteItemInput{
		TableName: s.productTable(t), Key: productKey(t, k)})
	if err != nil {
		return fmt.Errorf("delete row of %s: %w", t.Name, err)
	}
	return nil
}

// QueryRows implements table.Store. A page ends at 1 MB of rows even below the limit, or
// at what is left of the budget, so there may be several.
func (s *Store) QueryRows(ctx context.Context, t topology.Table, q table.Query) ([]table.Row, error) {
	partition, sort, err := q.Keys(t)
	if err != nil {
		return nil, err
	}
	in := &dynamodb.QueryInput{
		TableName:                 s.productTable(t),
		ConsistentRead:            aws.Bool(q.Index == ""), // an index cannot ("Query")
		ScanIndexForward:          aws.Bool(q.After != ""), // the others are read backward
		KeyConditionExpression:    aws.String("#partition = :partition"),
		ExpressionAttributeNames:  map[string]string{"#partition": partition},
		ExpressionAttributeValues: attributes{":partition": text(q.Partition)},
	}
	if q.Index != "" {
		in.IndexName = &q.Index
	}
	end := func(condition, at string) {
		*in.KeyConditionExpression += condition
		in.ExpressionAttributeNames["#sort"] = sort
		in.ExpressionAttributeValues[":sort"] = text(at)
	}
	switch {
	case q.After != "":
		end(" AND #sort > :sort", q.After)
	case q.Before != "":
		end(" AND #sort < :sort", q.Before)
	}
	var rows []table.Row
	for more := true; more && len(rows) < q.Limit; more = len(in.ExclusiveStartKey) > 0 {
		page, err := s.rowsPage(ctx, in, q.Limit-len(rows), q.RowBytes)
		if err != nil {
			return nil, fmt.Errorf("query rows of %s: %w", t.Name, err)
		}
		rows = append(rows, page...)
	}
	if q.After == "" {
		slices.Reverse(rows)
	}
	return rows, nil
}

// rowsPage reads up to most rows, as many as the budget of ctx allows if each has the
// greatest length, and moves in to the next page.
func (s *Store) rowsPage(ctx context.Context, in *dynamodb.QueryInput, most, rowBytes int) ([]table.Row, error) {
	most = min(most, math.MaxInt32)
	budget := pubsub.BudgetOf(ctx)
	reserved, err := budget.Reserve(rowBytes, most*rowBytes)
	if err != nil {
		return nil, err
	}
	in.Limit = aws.Int32(int32(reserved / rowBytes))
	page, err := call(ctx, s.client.Query, in)
	if err != nil {
		return nil, err
	}
	in.ExclusiveStartKey = page.LastEvaluatedKey
	bytes := 0
	for _, row := range page.Items {
		bytes += table.Bytes(row)
	}
	budget.Return(reserved - wholeUnits(bytes))
	return page.Items, nil
}

// wholeUnits rounds what a read has read up to read units; nothing also costs one
// ("DynamoDB read consumption").
func wholeUnits(bytes int) int {
	const unit = 4 << 10
	return max(1, (bytes+unit-1)/unit) * unit
}
