package cloud

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

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
	c.run, c.stop = run, stop
	for _, s := range streams {
		c.running.Go(func() { s.Run(run) })
	}
	for _, m := range c.cfg.App.QueueMappings() {
		q := c.queue(m, queues)
		c.running.Go(func() { q.Run(run) })
	}
	if c.cfg.Canary > 0 {
		c.running.Go(func() { c.sing(run) })
	}
	return nil
}

// sing invokes the canary as its rule does on AWS: the first time when a rate has passed.
func (c *Cloud) sing(ctx context.Context) {
	every := time.NewTicker(c.cfg.Canary)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			_, _ = c.function(topology.Canary.Name).Invoke(ctx, []byte("{}")) // its log tells what came of it
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cloud) queue(m topology.QueueMapping, client *sqs.Client) *esm.Queue {
	q := &esm.Queue{Mapping: m, URL: c.Queues[m.Queue.Name], ARN: backend.QueueARN(c.prefix + m.Queue.Name),
		Client: client, Invoker: c.watchBatches(m, c.function(m.Function.Name)), Log: c.cfg.Log, Delay: c.cfg.Timing.Standard,
		DeadLettersURL: c.Queues[m.Queue.DeadLetters], DeadLetters: client, Unguarded: c.cfg.Unguarded,
		Watch: c.watch.message(m.Queue.Name)}
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
		Poll: c.cfg.Timing.StreamPoll, Lag: c.cfg.Timing.StreamLag, Watch: c.watch.stream(m.Function.Name)}, nil
}

// Shards of each stream at first, and at most. Each is read separately, which takes
// this machine's time.
const (
	shards     = 2
	mostShards = 3
)
