package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// createTables creates those that are not there. With new ones nothing can be in the queue, so
// stream need not wait for what has no mark (announce.Marking).
func (c *Cloud) createTables(ctx context.Context) error {
	client := dynamodb.NewFromConfig(c.Backend.AWS())
	connections := c.prefix + topology.Connections.Name
	_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &connections})
	missing := (*types.ResourceNotFoundException)(nil)
	areNew := errors.As(err, &missing)
	if err != nil && !areNew {
		return fmt.Errorf("look for tables: %w", err)
	}
	if c.Tables, err = c.Backend.CreateTables(ctx, c.cfg.App.AllTables(), c.prefix); err != nil {
		return err
	}
	if areNew && !c.cfg.Replaces {
		ctx, cancel := context.WithTimeout(ctx, time.Minute) // the machine may be busy
		defer cancel()
		store := dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Connections: connections})
		_, err = store.MarkingSince(ctx, time.Unix(0, 0))
	}
	return err
}
