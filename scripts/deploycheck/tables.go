package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// protect turns the table's deletion protection on, if it is off. The template cannot
// do that: a failed first deployment must be able to remove the table.
func protect(ctx context.Context, client *dynamodb.Client, table string) error {
	found, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return fmt.Errorf("describe table: %w", err)
	}
	if aws.ToBool(found.Table.DeletionProtectionEnabled) {
		return nil
	}
	_, err = client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &table, DeletionProtectionEnabled: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("update table: %w", err)
	}
	return nil
}
