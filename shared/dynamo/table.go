package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/topology"
)

// CreateTable creates a table under a physical name unless it exists, and returns when
// it can be used. A deployment's stack creates its tables; this is for the local cloud
// and for tests. It leaves t.TTL to the stack: DynamoDB Local deletes expired items within
// half a minute, DynamoDB within days, and shows them until then ("Working with expired
// items").
func CreateTable(ctx context.Context, client *dynamodb.Client, t topology.Table, name string) error {
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	in.KeySchema = keySchema(in, t.Key, t.Sort)
	for _, index := range t.Indexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: &index.Name, KeySchema: keySchema(in, index.Key, index.Sort),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}})
	}
	if t.Stream {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
		if t.OldImages {
			in.StreamSpecification.StreamViewType = types.StreamViewTypeNewAndOldImages
		}
	}
	_, err := client.CreateTable(ctx, in)
	if exists := (*types.ResourceInUseException)(nil); err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	ready := dynamodb.NewTableExistsWaiter(client)
	if err := ready.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	return enableStream(ctx, client, in, name)
}

// enableStream gives a table the stream that it would be created with, unless it has one:
// an earlier release may have created it without.
func enableStream(ctx context.Context, client *dynamodb.Client, in *dynamodb.CreateTableInput, table string) error {
	if in.StreamSpecification == nil {
		return nil
	}
	now, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return fmt.Errorf("describe table %s: %w", table, err)
	}
	if now.Table.StreamSpecification != nil {
		return nil
	}
	_, err = client.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName: &table, StreamSpecification: in.StreamSpecification})
	if err != nil {
		return fmt.Errorf("enable stream of %s: %w", table, err)
	}
	return nil
}

// keySchema returns the key of a table or index, and defines its attributes in the
// table, each of which is defined once.
func keySchema(in *dynamodb.CreateTableInput, partition, sort string) (schema []types.KeySchemaElement) {
	for _, part := range []types.KeySchemaElement{
		{AttributeName: &partition, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
	} {
		name := *part.AttributeName
		if name == "" {
			continue
		}
		schema = append(schema, part)
		defined := func(d types.AttributeDefinition) bool { return *d.AttributeName == name }
		if !slices.ContainsFunc(in.AttributeDefinitions, defined) {
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
				AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
		}
	}
	return schema
}
