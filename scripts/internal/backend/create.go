package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// CreateTables creates the tables with the prefix before their names and returns the
// physical names by logical name. Existing tables keep their content.
func (b *Backend) CreateTables(ctx context.Context, tables []topology.Table, prefix string) (map[string]string, error) {
	client, names := dynamodb.NewFromConfig(b.AWS()), map[string]string{}
	var all errgroup.Group
	for _, table := range tables {
		name := prefix + table.Name
		names[table.Name] = name
		all.Go(func() error { return dynamo.CreateTable(ctx, client, table, name) })
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return names, nil
}

// CreateQueues creates the queues, of which dead letters come first, with the prefix
// before their names and returns their URLs by logical name. Existing queues keep their
// content.
func (b *Backend) CreateQueues(ctx context.Context, queues []topology.Queue, prefix string) (map[string]string, error) {
	client, urls := sqs.NewFromConfig(b.AWS()), map[string]string{}
	for _, queue := range queues {
		name := prefix + queue.Name
		out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: &name, Attributes: queueAttributes(queue, prefix)})
		if err != nil {
			return nil, fmt.Errorf("create queue %s: %w", name, err)
		}
		urls[queue.Name] = *out.QueueUrl
	}
	return urls, nil
}

// QueueARN is the ARN of a queue of this backend by physical name.
func QueueARN(name string) string { return "arn:aws:sqs:" + Region + ":" + Account + ":" + name }

func queueAttributes(q topology.Queue, prefix string) map[string]string {
	attributes := map[string]string{
		string(types.QueueAttributeNameVisibilityTimeout):      seconds(q.Visibility),
		string(types.QueueAttributeNameMessageRetentionPeriod): seconds(q.Retention),
	}
	if q.FIFO {
		// High throughput: each message group has its own limits. ElasticMQ accepts
		// these two and the retention, and ignores them.
		attributes[string(types.QueueAttributeNameFifoQueue)] = "true"
		attributes[string(types.QueueAttributeNameDeduplicationScope)] = "messageGroup"
		attributes[string(types.QueueAttributeNameFifoThroughputLimit)] = "perMessageGroupId"
	}
	if q.DeadLetters != "" {
		policy, _ := json.Marshal(map[string]string{ // strings always encode
			"deadLetterTargetArn": QueueARN(prefix + q.DeadLetters),
			"maxReceiveCount":     strconv.Itoa(q.MaxReceives),
		})
		attributes[string(types.QueueAttributeNameRedrivePolicy)] = string(policy)
	}
	return attributes
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
