package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/meter"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const subscribeTitle = "One subscribe and its complete, by rows of the topic"

// subscribeBench measures the store as its tables grow.
type subscribeBench struct {
	root string
	rows numbers
	ops  int
}

func subscribeCommand() command {
	return command{"subscribe", "the store on DynamoDB Local: calls, units and time of a subscribe, by rows that are there", func(flags *flag.FlagSet) measure {
		b := &subscribeBench{rows: numbers{1, 1_000, 100_000}}
		flags.StringVar(&b.root, "root", ".", "`folder` of the repository")
		flags.Var(&b.rows, "rows", "`LIST` of how many subscriptions the topic has, ascending; a million takes minutes")
		flags.IntVar(&b.ops, "ops", 200, "subscribes that are measured for each")
		return func(ctx context.Context, _ uint64) (report.Report, error) { return b.measure(ctx) }
	}}
}

// prefix begins the tables' physical names.
const prefix = "bench-"

func (b *subscribeBench) measure(ctx context.Context) (report.Report, error) {
	local, err := backend.Start(ctx, backend.Config{Cache: filepath.Join(b.root, ".cache", "jars")})
	if err != nil {
		return report.Report{}, err
	}
	defer local.Stop()
	if _, err := local.CreateTables(ctx, topology.Tables(), prefix); err != nil {
		return report.Report{}, err
	}
	counting := meter.New(prefix)
	store, stop, err := metered(local, counting)
	if err != nil {
		return report.Report{}, err
	}
	defer stop()
	t := report.Table{Title: subscribeTitle, Key: "rows", Columns: []string{"calls", "write units", "read units", "ms"}}
	filler := &filler{client: dynamodb.NewFromConfig(local.AWS())}
	for _, n := range b.rows {
		if err := filler.fill(ctx, n); err != nil {
			return report.Report{}, err
		}
		row, err := b.row(ctx, store, counting, n)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d rows: %w", n, err)
		}
		t.Rows = append(t.Rows, row)
	}
	return report.Report{Settings: []report.Setting{{Name: "ops", Value: b.ops}}, Tables: []report.Table{t},
		Notes: []string{"Calls and units are what DynamoDB charges for; the times are those of DynamoDB Local, whose index is not DynamoDB's."},
		Plot:  &report.Plot{Title: subscribeTitle, Table: subscribeTitle, Columns: []string{"calls", "write units", "read units", "ms"}, Y: "per subscribe and complete", LogX: true}}, nil
}

// metered returns a store whose calls are metered.
func metered(local *backend.Backend, m *meter.Meter) (*dynamo.Store, func(), error) {
	proxy, err := m.DynamoDB(local.DynamoDB.Endpoint)
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	cfg, url := local.AWS(), "http://"+l.Addr().String()
	cfg.ConfigSources, cfg.BaseEndpoint = nil, &url
	tables := dynamo.Tables{Connections: prefix + topology.Connections.Name, Subscriptions: prefix + topology.Subscriptions.Name,
		Operations: prefix + topology.Operations.Name}
	return dynamo.New(dynamo.NewClient(cfg), tables), func() { server.Close(); <-done }, nil
}

// row subscribes and completes on a new connection.
func (b *subscribeBench) row(ctx context.Context, store *dynamo.Store, m *meter.Meter, rows int) (report.Row, error) {
	now := time.Now()
	c := pubsub.Connection{ID: fmt.Sprintf("bench%dMCFIA=", rows), ConnectedAt: now, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
	if err := errors.Join(store.PutConnection(ctx, c), store.Acknowledge(ctx, c.ID, pubsub.Acknowledgement{}, now)); err != nil {
		return report.Row{}, err
	}
	op := operation(0, benchChat)
	before, begin := total(m.Usage()), time.Now()
	for i := range b.ops {
		s := pubsub.Subscription{ConnectionID: c.ID, OperationID: strconv.Itoa(i), Topic: chat.Topic(benchChat), OperationKey: op.Key(), Expires: c.Expires}
		if err := store.PutSubscription(ctx, s, op, pubsub.Sent{At: now}, 100); err != nil {
			return report.Row{}, err
		}
		if was, err := store.DeleteSubscription(ctx, c.ID, s.OperationID, pubsub.Sent{At: time.Now()}); err != nil || !was {
			return report.Row{}, errors.Join(fmt.Errorf("subscription %d was running: %t", i, was), err)
		}
	}
	took, after, n := time.Since(begin), total(m.Usage()), float64(b.ops)
	return report.NewRow(strconv.Itoa(rows), (after.Requests-before.Requests)/n, (after.Writes-before.Writes)/n,
		(after.Reads-before.Reads)/n, float64(took.Microseconds())/1000/n), nil
}

// total is the usage of all tables and calls together.
func total(u billing.Usage) (sum billing.Table) {
	for _, t := range u.Tables {
		sum.Requests += t.Requests
		sum.Writes += t.Writes
		sum.Reads += t.Reads
	}
	return sum
}

// filler puts rows into the topic, without connections, so that a million takes
// minutes, not hours.
type filler struct {
	client *dynamodb.Client
	rows   int // rows already there
}

const (
	fillers  = 4  // concurrent writers
	fillRows = 25 // limit of one BatchWriteItem
)

// fill grows the topic to n rows.
func (f *filler) fill(ctx context.Context, n int) error {
	var writing errgroup.Group
	writing.SetLimit(fillers)
	for ; f.rows < n; f.rows += min(fillRows, n-f.rows) {
		first, end := f.rows, min(f.rows+fillRows, n)
		writing.Go(func() error { return f.write(ctx, first, end) })
	}
	return writing.Wait()
}

func (f *filler) write(ctx context.Context, first, end int) error {
	var puts []types.WriteRequest
	expires := strconv.FormatInt(time.Now().Add(2*time.Hour).Unix(), 10)
	for i := first; i < end; i++ {
		id := fmt.Sprintf("%012dMCFIA=", i)
		puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: map[string]types.AttributeValue{
			topology.Subscriptions.Key:  &types.AttributeValueMemberS{Value: chat.Topic(benchChat)},
			topology.Subscriptions.Sort: &types.AttributeValueMemberS{Value: fmt.Sprintf("%02x#%s#1", pubsub.Bucket(id), id)},
			"operationKey":              &types.AttributeValueMemberS{Value: operation(0, benchChat).Key()},
			topology.Subscriptions.TTL:  &types.AttributeValueMemberN{Value: expires},
		}}})
	}
	table := prefix + topology.Subscriptions.Name
	out, err := f.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: puts}})
	if err == nil && len(out.UnprocessedItems) > 0 {
		err = errors.New("not all was taken")
	}
	if err != nil {
		return fmt.Errorf("fill the topic: %w", err)
	}
	return nil
}
