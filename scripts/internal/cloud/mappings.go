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
	var streams []*esm.Stream
	for _, m := range c.cfg.App.StreamMappings() {
		s, err := c.stream(ctx, m, cfg, queues)
		if err != nil {
			return err
		}
		streams = append(streams, s)
	}
	run, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, s := range streams {
		c.running.Go(func() { s.Run(run) })
	}
	for _, m := range topology.QueueMappings() {
		q := c.queue(m, queues)
		c.running.Go(func() { q.Run(run) })
	}
	return nil
}

func (c *Cloud) queue(m topology.QueueMapping, client *sqs.Client) *esm.Queue {
	q := &esm.Queue{Mapping: m, URL: c.Queues[m.Queue.Name], ARN: backend.QueueARN(c.prefix + m.Queue.Name),
		Client: client, Invoker: c.function(m.Function.Name), Log: c.cfg.Log, Delay: c.cfg.Timing.Standard,
		DeadLettersURL: c.Queues[m.Queue.DeadLetters], DeadLetters: client, Unguarded: c.cfg.Unguarded}
	if m.Queue.FIFO {
		q.Delay = c.cfg.Timing.FIFO
	}
	if !c.cfg.Timing.RealVisibility {
		q.Redelivery = c.cfg.Redelivery
	}
	if c.small() {
		q.Mapping.MaxConcurrency = topology.LeastMaxConcurrency
	}
	return q
}

func (c *Cloud) stream(ctx context.Context, m topology.StreamMapping, cfg aws.Config, queues *sqs.Client) (*esm.Stream, error) {
	table := c.Tables[m.Table.Name]
	out, err := dynamodb.NewFromConfig(cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return nil, fmt.Errorf("find stream of %s: %w", table, err)
	}
	var checkpoints *esm.Checkpoints
	var shardsFile string
	if c.cfg.Data != "" {
		shardsFile = filepath.Join(c.cfg.Data, table+"-shards.json")
		if checkpoints, err = esm.OpenCheckpoints(filepath.Join(c.cfg.Data, table+"-checkpoints.json")); err != nil {
			return nil, err
		}
	}
	var client esm.StreamClient = dynamodbstreams.NewFromConfig(cfg)
	if !c.cfg.OneShard {
		if client, err = esm.NewShards(client, esm.ShardsConfig{Key: m.Table.Key, Count: shards, Most: mostShards, File: shardsFile}); err != nil {
			return nil, err
		}
	}
	return &esm.Stream{Mapping: m, Checkpoints: checkpoints, ARN: *out.Table.LatestStreamArn, OnFailureURL: c.Queues[m.OnFailure.Name],
		Client: client, Destination: queues, Invoker: c.function(m.Function.Name), Log: c.cfg.Log,
		RetryPause: c.cfg.Timing.StreamRetry, LongestPause: c.cfg.Timing.StreamLongestRetry,
		Poll: c.cfg.Timing.StreamPoll, Lag: c.cfg.Timing.StreamLag}, nil
}

// Shards of each stream at first, and at most. Each is read separately, which takes
// this machine's time.
const (
	shards     = 2
	mostShards = 3
)
