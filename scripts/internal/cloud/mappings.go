package cloud

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/esm"
	"subwire/shared/topology"
)

// startMappings starts the event source mappings. ctx bounds the look-ups.
func (c *Cloud) startMappings(ctx context.Context) error {
	cfg := c.Backend.AWS()
	queues := c.queueClient(cfg)
	stream, err := c.stream(ctx, cfg, queues)
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.running.Go(func() { stream.Run(run) })
	for _, m := range topology.QueueMappings() {
		q := &esm.Queue{Mapping: m, URL: c.Queues[m.Queue.Name], ARN: backend.QueueARN(prefix + m.Queue.Name),
			Client: queues, Invoker: c.function(m.Function.Name), Log: c.cfg.Log,
			Redelivery: c.cfg.Redelivery}
		c.running.Go(func() { q.Run(run) })
	}
	return nil
}

func (c *Cloud) stream(ctx context.Context, cfg aws.Config, queues *sqs.Client) (*esm.Stream, error) {
	m := topology.MessageStream
	table := c.Tables[m.Table.Name]
	out, err := dynamodb.NewFromConfig(cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return nil, fmt.Errorf("find stream of %s: %w", table, err)
	}
	var checkpoints *esm.Checkpoints
	if c.cfg.Data != "" {
		if checkpoints, err = esm.OpenCheckpoints(filepath.Join(c.cfg.Data, "checkpoints.json")); err != nil {
			return nil, err
		}
	}
	return &esm.Stream{Mapping: m, Checkpoints: checkpoints, ARN: *out.Table.LatestStreamArn, OnFailureURL: c.Queues[m.OnFailure.Name],
		Client: dynamodbstreams.NewFromConfig(cfg), Destination: queues,
		Invoker: c.function(m.Function.Name), Log: c.cfg.Log}, nil
}
