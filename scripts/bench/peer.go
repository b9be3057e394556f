package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"subwire/shared/apigw"
	"subwire/shared/chat"
	"subwire/shared/delivery"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// servePeer, as the only argument, turns this program into Subwire's side of bench
// peers: a separate process, so that its CPU time is that of one event.
const servePeer = "serve-peer"

// peer is what the stream and the sender function are made of.
type peer struct {
	store  *dynamo.Store
	fanout *queue.Publisher
	sender *delivery.Sender
	limits fanout.Limits
}

// runPeer reads its set-up and then events, one per line, and answers each.
func runPeer(ctx context.Context, in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, 16<<20)
	var setup peerSetup
	if !lines.Scan() {
		return fmt.Errorf("read set-up: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(lines.Bytes(), &setup); err != nil {
		return fmt.Errorf("read set-up: %w", err)
	}
	p, err := newPeer(setup)
	if err != nil {
		return err
	}
	if err := p.subscribe(ctx, setup.Subscriptions); err != nil {
		return err
	}
	if err := answers.Encode(struct{}{}); err != nil {
		return err
	}
	for lines.Scan() {
		begin, cpu := time.Now(), cpuTime()
		if err := p.publish(ctx, lines.Bytes()); err != nil {
			return err
		}
		a := peerAnswer{MS: time.Since(begin).Seconds() * 1000, CPUMS: (cpuTime() - cpu).Seconds() * 1000}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func newPeer(s peerSetup) (*peer, error) {
	cfg, err := (&gateway{Certificate: s.Certificate}).aws()
	if err != nil {
		return nil, err
	}
	servers := cfg.Copy()
	servers.HTTPClient = nil
	servers.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}, nil
	})
	tables := servers.Copy()
	tables.BaseEndpoint = &s.DynamoDB
	store := dynamo.New(dynamo.NewClient(tables), dynamo.Tables{Connections: s.Tables[topology.Connections.Name],
		Subscriptions: s.Tables[topology.Subscriptions.Name], Operations: s.Tables[topology.Operations.Name]})
	client := sqs.NewFromConfig(servers, func(o *sqs.Options) { o.BaseEndpoint = &s.SQS })
	return &peer{
		store:  store,
		fanout: queue.New(client, s.Queues[topology.Fanout.Name]),
		limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: defaultOf(topology.FanoutGroups)},
		sender: delivery.New(delivery.Config{Store: store, Executor: gql.MustNew(gql.Chat{}.Schema()), Gateway: apigw.New(cfg, s.Gateway, 2*s.Workers),
			Retries: later{}, Dead: later{}, Workers: s.Workers, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))}),
	}, nil
}

// subscribe stores connections with a subscription each.
func (p *peer) subscribe(ctx context.Context, subs []peerSubscription) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for _, s := range subs {
		group.Go(func() error {
			now := time.Now()
			c := pubsub.Connection{ID: s.ConnectionID, ConnectedAt: now, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
			if err := p.store.PutConnection(ctx, c); err != nil {
				return err
			}
			if err := p.store.Acknowledge(ctx, c.ID, pubsub.Acknowledgement{}, now); err != nil {
				return err
			}
			op := pubsub.Operation{Document: s.Query, Variables: s.Variables}
			return p.store.PutSubscription(ctx, pubsub.Subscription{ConnectionID: c.ID, OperationID: s.OperationID,
				Topic: chat.Topic(benchChat), OperationKey: op.Key(), Expires: c.Expires}, op, pubsub.Sent{At: now}, 1)
		})
	}
	return group.Wait()
}

// publish does what the two functions do with an event, one after the other.
func (p *peer) publish(ctx context.Context, root []byte) error {
	var m chat.Message
	if err := json.Unmarshal(root, &m); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	event := pubsub.Event{ID: m.ID, Topic: chat.Topic(m.ChatID), Root: append([]byte(nil), root...)}
	groups := make([][]string, p.limits.Groups)
	subscriptions := p.store.Subscriptions(ctx, event.Topic, time.Now())
	if err := p.fanout.Send(ctx, noting(fanout.Plan(event, subscriptions, p.limits), groups)); err != nil {
		return err
	}
	for _, r := range p.sender.DeliverGroups(ctx, groups) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// noting encodes the batches as messages and keeps them by group.
func noting(batches iter.Seq2[fanout.Batch, error], groups [][]string) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for b, err := range batches {
			m := queue.Message{Group: b.Group()}
			if err == nil {
				m.Body, m.DeduplicationID, err = fanout.Encode(b)
				groups[b.Range] = append(groups[b.Range], string(m.Body))
			}
			if !yield(m, err) {
				return
			}
		}
	}
}
