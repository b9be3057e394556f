package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/topology"
)

// CreateTable creates a table under a physical name unless it exists, and returns when
// it can be used. A deployment's stack creates its tables; this is for the local cloud
// and for tests.
func CreateTable(ctx context.Context, client *dynamodb.Client, t topology.Table, name string) error {
	in := &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest}
	addKey := func(attribute string, keyType types.KeyType) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &attribute, AttributeType: types.ScalarAttributeTypeS})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &attribute, KeyType: keyType})
	}
	addKey(t.Key, types.KeyTypeHash)
	if t.Sort != "" {
		addKey(t.Sort, types.KeyTypeRange)
	}
	if t.Stream {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
	}
	_, err := client.CreateTable(ctx, in)
	if exists := (*types.ResourceInUseException)(nil); err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	ready := dynamodb.NewTableExistsWaiter(client)
	if err := ready.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	return enableTTL(ctx, client, t.TTL, name)
}

// enableTTL makes the table expire items by the attribute, unless that is "" or already
// set, which DynamoDB would refuse.
func enableTTL(ctx context.Context, client *dynamodb.Client, attribute, table string) error {
	if attribute == "" {
		return nil
	}
	now, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return fmt.Errorf("describe TTL of %s: %w", table, err)
	}
	if now.TimeToLiveDescription.TimeToLiveStatus == types.TimeToLiveStatusEnabled {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: &attribute, Enabled: aws.Bool(true)},
	})
	if err != nil {
		return fmt.Errorf("enable TTL of %s: %w", table, err)
	}
	return nil
}
