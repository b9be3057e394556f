package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/strictdb"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const largeTopicName = "large"

// largeTopic is a topic in tables of its own, behind a proxy that throttles and counts.
type largeTopic struct {
	units
	parts  bool
	tables dynamo.Tables
	client *dynamodb.Client // through the proxy
	server *http.Server
	free   []string // tables
	direct *dynamodb.Client
}

// largeTopics numbers the tables.
var largeTopics atomic.Int64

// newLargeTopic returns an empty topic, with parts or without, whose keys take less by that factor.
func newLargeTopic(ctx context.Context, servers *backend.Backend, parts bool, slower float64) (*largeTopic, error) {
	prefix := fmt.Sprintf("topic%d-", largeTopics.Add(1))
	names, err := servers.CreateTables(ctx, topology.Tables(), prefix)
	if err != nil {
		return nil, err
	}
	t := &largeTopic{parts: parts, direct: dynamo.NewClient(servers.AWS()),
		tables: dynamo.Tables{Connections: names[topology.Connections.Name],
			Subscriptions: names[topology.Subscriptions.Name], Operations: names[topology.Operations.Name]}}
	t.reset()
	for _, name := range names {
		t.free = append(t.free, name)
	}
	proxy, err := strictdb.New(strictdb.Config{Prefix: prefix, Tables: topology.Tables(), Throttled: t.refuse,
		Consumed: t.add, ReadUnits: strictdb.ReadUnits / slower, WriteUnits: strictdb.WriteUnits / slower}).
		Proxy(servers.DynamoDB.Endpoint)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve proxy: %w", err)
	}
	t.server = &http.Server{Handler: proxy}
	go t.server.Serve(l) // until close
	url := "http://" + l.Addr().String()
	t.client = dynamodb.New(t.direct.Options(), func(o *dynamodb.Options) { o.BaseEndpoint = &url })
	if parts {
		mark := pubsub.Mark{Name: dynamo.PartsMark, Expires: time.Now().Add(24 * time.Hour)}
		err = dynamo.New(t.direct, t.tables).PutMark(ctx, largeTopicName, mark)
	}
	return t, err
}

// close ends the proxy and deletes the tables.
func (t *largeTopic) close() {
	_ = t.server.Close()
	for _, name := range t.free {
		_, _ = t.direct.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}) // the server ends soon
	}
}

// process is the store of another process.
func (t *largeTopic) process() *dynamo.Store {
	s := dynamo.New(t.client, t.tables)
	s.LargeTopics = t.parts
	return s
}

// fill gives the topic n subscribers, past the proxy. One of each bucket subscribes; the rows of
// the others are copies.
func (t *largeTopic) fill(ctx context.Context, n int) error {
	s := dynamo.New(t.direct, t.tables)
	s.LargeTopics = t.parts
	originals, copies := map[int]string{}, []string(nil)
	for _, id := range spread(n) {
		if bucket := pubsub.Bucket(id); originals[bucket] == "" {
			originals[bucket] = id
			if err := t.put(ctx, s, id); err != nil {
				return err
			}
			continue
		}
		copies = append(copies, id)
	}
	rows, err := t.rows(ctx)
	if err != nil {
		return err
	}
	filling, ctx := errgroup.WithContext(ctx)
	filling.SetLimit(4)
	for ids := range slices.Chunk(copies, 25) {
		filling.Go(func() error {
			var batch []types.WriteRequest
			for _, id := range ids {
				original := originals[pubsub.Bucket(id)]
				batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: copied(rows[original], original, id)}})
			}
			_, err := t.direct.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{t.tables.Subscriptions: batch}})
			return err
		})
	}
	return filling.Wait()
}

// rows are the stored subscriptions, by connection.
func (t *largeTopic) rows(ctx context.Context) (map[string]map[string]types.AttributeValue, error) {
	rows := map[string]map[string]types.AttributeValue{}
	pages := dynamodb.NewScanPaginator(t.direct, &dynamodb.ScanInput{TableName: &t.tables.Subscriptions})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		for _, item := range page.Items {
			key, _ := item[topology.Subscriptions.Sort].(*types.AttributeValueMemberS)
			if key == nil {
				continue
			}
			if _, rest, ok := strings.Cut(key.Value, "#"); ok { // not a mark or a head
				id, _, _ := strings.Cut(rest, "#")
				rows[id] = item
			}
		}
	}
	return rows, nil
}

// copied is the row for another connection of the same bucket.
func copied(row map[string]types.AttributeValue, original, id string) map[string]types.AttributeValue {
	other := map[string]types.AttributeValue{}
	for name, value := range row {
		if s, ok := value.(*types.AttributeValueMemberS); ok {
			value = &types.AttributeValueMemberS{Value: strings.ReplaceAll(s.Value, original, id)}
		}
		other[name] = value
	}
	return other
}
