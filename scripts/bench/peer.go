package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"subwire/shared/apigw"
	"subwire/shared/delivery"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// peerSetup is the first line that a side of bench peers reads.
type peerSetup struct {
	DynamoDB      string             `json:"dynamoDB"` // endpoint
	SQS           string             `json:"sqs"`
	Gateway       string             `json:"gateway"`
	Certificate   []byte             `json:"certificate"` // of the gateway, DER
	Region        string             `json:"region"`
	AccessKey     string             `json:"accessKey"`
	SecretKey     string             `json:"secretKey"`
	Workers       int                `json:"workers"`
	Direct        int                `json:"direct"` // of Subwire: targets up to which nothing goes by the queue
	Tables        map[string]string  `json:"tables"` // Subwire's, and its queues
	Queues        map[string]string  `json:"queues"`
	Subscriptions []peerSubscription `json:"subscriptions"`
}

// peerSubscription is the only one of its connection.
type peerSubscription struct {
	ConnectionID string          `json:"connectionId"`
	OperationID  string          `json:"operationId"`
	Query        string          `json:"query"`
	Variables    json.RawMessage `json:"variables"`
}

// peerAnswer is what a side reports about one event: how long it took, and the CPU
// time of its process. Subwire also says how long it took to read the topic, and to plan and
// send what goes by the queue; the rest is what it takes to post.
type peerAnswer struct {
	MS     float64 `json:"ms"`
	CPUMS  float64 `json:"cpuMs"`
	ReadMS float64 `json:"readMs"`
	SentMS float64 `json:"sentMs"`
}

// peer is what the stream and the sender function are made of.
type peer struct {
	store  *dynamo.Store
	fanout *queue.Publisher
	sender *delivery.Sender
	limits fanout.Limits
	direct int
}

// runPeer is Subwire's side. It reads its set-up and then events, one per line, and
// answers each.
func runPeer(ctx context.Context, in io.Reader, out io.Writer) error {
	lines, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	var setup peerSetup
	if err := lines.Decode(&setup); err != nil {
		return fmt.Errorf("read set-up: %w", err)
	}
	p, err := newPeer(setup)
	if err != nil {
		return err
	}
	if err := p.subscribe(ctx, setup.Subscriptions); err != nil {
		return err
	}
	if err := answers.Encode(peerAnswer{}); err != nil {
		return err
	}
	for lines.More() {
		var root json.RawMessage
		if err := lines.Decode(&root); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		begin, cpu := time.Now(), cpuTime()
		a, err := p.publish(ctx, root)
		if err != nil {
			return err
		}
		a.MS, a.CPUMS = ms(time.Since(begin)), ms(cpuTime()-cpu)
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return nil
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
	queues := servers.Copy()
	queues.BaseEndpoint = &s.SQS
	return &peer{
		store:  store,
		fanout: queue.New(queue.NewClient(queues), s.Queues[topology.Fanout.Name]),
		limits: deployed().limits,
		direct: s.Direct,
		sender: newSender(store, apigw.New(cfg, s.Gateway, 2*s.Workers), s.Workers),
	}, nil
}

// subscribe stores connections with a subscription each.
func (p *peer) subscribe(ctx context.Context, subs []peerSubscription) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for _, s := range subs {
		group.Go(func() error {
			one := pubsub.Subscription{OperationID: s.OperationID, Topic: topicOf(benchChat)}
			op := pubsub.Operation{Document: s.Query, Variables: s.Variables}
			return subscribe(ctx, p.store, s.ConnectionID, []pubsub.Subscription{one}, []pubsub.Operation{op})
		})
	}
	return group.Wait()
}

// publish does what the stream function does with an event, and the sender if it is not
// small.
func (p *peer) publish(ctx context.Context, root []byte) (a peerAnswer, err error) {
	begin := time.Now()
	event, err := eventOf(root)
	if err != nil {
		return a, err
	}
	var rows []pubsub.Subscription
	for row, err := range p.store.Subscriptions(ctx, event.Topic, begin) {
		if err != nil {
			return a, err
		}
		rows = append(rows, row)
	}
	read := time.Now()
	a.ReadMS = ms(read.Sub(begin))
	planned := fanout.Plan(event, fanout.Each(rows), p.limits)
	if len(rows) <= p.direct {
		return a, p.deliverNow(ctx, planned)
	}
	groups := make([][]string, p.limits.Groups)
	note := func(b fanout.Batch, body []byte) { groups[b.Range] = append(groups[b.Range], string(body)) }
	if err := p.fanout.Send(ctx, messages(planned, note)); err != nil {
		return a, err
	}
	a.SentMS = ms(time.Since(read))
	for _, r := range p.sender.DeliverGroups(ctx, groups) {
		if r.Err != nil {
			return a, r.Err
		}
	}
	return a, nil
}

// deliverNow delivers a small event.
func (p *peer) deliverNow(ctx context.Context, planned iter.Seq2[fanout.Batch, error]) error {
	var few []fanout.Batch
	for b, err := range planned {
		if err != nil {
			return err
		}
		few = append(few, b)
	}
	if o := p.sender.DeliverNow(ctx, few, time.Minute); len(o.Left) > 0 {
		return fmt.Errorf("%d batches are left", len(o.Left))
	}
	return nil
}
