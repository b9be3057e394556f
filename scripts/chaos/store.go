package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/table"
	"subwire/shared/topology"
)

type connection struct {
	name       string            // its name in the client's connection_init
	holder     string            // the holder it is counted for, or ""
	closing    bool              // its deletion has begun
	operations map[string]string // id -> topic
}

// row is a subscription under a topic: a row of the store, or what a host's process holds in
// place of its own row.
type row struct {
	topic, connection, operation string
	held                         bool // by a host
}

// snapshot is what is stored about clients.
type snapshot struct {
	connections map[string]connection // by id
	rows        []row
	parts       map[row]key     // those of rows that are in parts of topics
	held        map[string]bool // ids of the connections that are counted for a holder
	open        map[string]bool // ids of the open sockets of API Gateway
	nodes       nodes
}

// holderPrefix begins the id of an item that counts connections.
const holderPrefix = "holder/"

// scan reads a whole table. It bypasses the functions' faults.
func (h *Harness) scan(ctx context.Context, t topology.Table) ([]map[string]types.AttributeValue, error) {
	var items []map[string]types.AttributeValue
	name := h.cloud.Tables[t.Name]
	pages := dynamodb.NewScanPaginator(h.dynamo, &dynamodb.ScanInput{TableName: &name, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan %s: %w", t.Name, err)
		}
		items = append(items, page.Items...)
	}
	return items, nil
}

func (h *Harness) snapshot(ctx context.Context) (s snapshot, err error) {
	rows, err := h.scan(ctx, topology.Subscriptions) // first: a deletion in between leaves a connection without a row, and the look is repeated
	if err != nil {
		return s, err
	}
	s.parts = map[row]key{}
	for _, item := range rows {
		if strings.HasPrefix(text(item["subscriber"]), "!") { // a mark of a topic, or the head of a part
			continue
		}
		parts := strings.SplitN(text(item["subscriber"]), "#", 3)
		if len(parts) != 3 {
			return s, fmt.Errorf("row %q is not bucket#connection#operation", text(item["subscriber"]))
		}
		if node.IsNode(parts[1]) {
			s.nodes.rows = append(s.nodes.rows, row{topic: dynamo.TopicOf(text(item["topic"])), connection: parts[1]})
			continue
		}
		one := row{topic: dynamo.TopicOf(text(item["topic"])), connection: parts[1], operation: parts[2]}
		s.rows = append(s.rows, one)
		if one.topic != text(item["topic"]) {
			s.parts[one] = key{text(item["topic"]), text(item["subscriber"])}
		}
	}
	items, err := h.scan(ctx, topology.Connections)
	if err != nil {
		return s, err
	}
	s.connections, s.held, s.open = map[string]connection{}, map[string]bool{}, map[string]bool{}
	for _, id := range h.cloud.Gateway.Connections() {
		s.open[id] = true
	}
	for _, item := range items {
		if strings.HasPrefix(text(item["id"]), holderPrefix) {
			s.hold(item["held"])
			continue
		}
		if strings.Contains(text(item["id"]), "/") {
			continue // a count, or a line: no connection's id has one
		}
		if node.IsNode(text(item["id"])) {
			if ends, _ := strconv.ParseInt(digits(item["ttl"]), 10, 64); ends > time.Now().Unix() {
				s.nodes.leases = append(s.nodes.leases, text(item["id"]))
			}
			continue
		}
		c := connection{operations: map[string]string{}, holder: text(item["holder"]), closing: item["closing"] != nil}
		var init struct{ Name string }
		if raw := text(item["init"]); raw != "" {
			if err := json.Unmarshal([]byte(raw), &init); err != nil {
				return s, fmt.Errorf("decode init payload: %w", err)
			}
		}
		c.name = init.Name
		for id, running := range members(item["operations"]) {
			c.operations[id] = text(members(running)["topic"])
		}
		s.connections[text(item["id"])] = c
	}
	return s, h.ask(ctx, &s)
}

// hold notes a holder's set, whose entries are expiry#connection.
func (s *snapshot) hold(set types.AttributeValue) {
	if set, ok := set.(*types.AttributeValueMemberSS); ok {
		for _, entry := range set.Value {
			_, id, _ := strings.Cut(entry, "#")
			s.held[id] = true
		}
	}
}

// record is what a change has left in the stream.
type record struct {
	id  string
	row table.Row
}

// history is how far the stream has been read.
type history struct {
	next    map[string]*string // by shard; nil at its end
	records []record
}

// history returns what is in the stream, in its order. It reads on from the last time.
func (h *Harness) history(ctx context.Context) ([]record, error) {
	table := h.cloud.Tables[h.product.app().Tables[0].Name]
	described, err := h.dynamo.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return nil, fmt.Errorf("find stream: %w", err)
	}
	stream := described.Table.LatestStreamArn
	out, err := h.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: stream})
	if err != nil {
		return nil, fmt.Errorf("describe stream: %w", err)
	}
	for _, shard := range out.StreamDescription.Shards { // oldest first
		next, known := h.read.next[*shard.ShardId]
		if !known {
			it, err := h.streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: stream, ShardId: shard.ShardId,
				ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon})
			if err != nil {
				return nil, fmt.Errorf("get shard iterator: %w", err)
			}
			next = it.ShardIterator
		}
		for more := true; more && next != nil; { // an open shard has no end
			page, err := h.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: next})
			if err != nil {
				return nil, fmt.Errorf("get records: %w", err)
			}
			for _, r := range page.Records {
				row, err := attributevalue.FromDynamoDBStreamsMap(r.Dynamodb.NewImage)
				if err != nil {
					return nil, fmt.Errorf("decode record: %w", err)
				}
				h.read.records = append(h.read.records, record{*r.EventID, row})
			}
			next, more = page.NextShardIterator, len(page.Records) > 0
			h.read.next[*shard.ShardId] = next
		}
	}
	return h.read.records, nil
}

// orphans are topic rows without their connection's entry, counted connections that
// do not exist, and existing ones that are not counted. A connection whose deletion
// was interrupted may lack its count: for readers it is gone. So may a socket of a node that
// is gone.
func (s snapshot) orphans() (problems []string) {
	for _, r := range s.rows {
		if topic, ok := s.connections[r.connection].operations[r.operation]; !ok || topic != r.topic && !r.held {
			problems = append(problems, fmt.Sprintf("the row of %s under %s has no connection with operation %s", r.connection, r.topic, r.operation))
		}
	}
	for id := range s.held {
		if _, there := s.connections[id]; !there {
			problems = append(problems, fmt.Sprintf("connection %s is counted and is not there", id))
		}
	}
	for id, c := range s.connections {
		if c.holder != "" && !c.closing && !s.held[id] && !s.nodes.lost(id) {
			problems = append(problems, fmt.Sprintf("connection %s is not counted for %s", id, c.holder))
		}
	}
	return problems
}

// rowless are operations without their row: message died before it wrote the row, or
// could not end what it could not begin. A connection whose deletion was interrupted
// may lack rows. So may one without a socket, whose $disconnect was lost: only the
// TTL removes it.
func (s snapshot) rowless() (problems []string) {
	for id, c := range s.connections {
		for operation, topic := range c.operations {
			if topic != "" && !c.closing && s.open[id] && !slices.Contains(s.rows, row{topic: topic, connection: id, operation: operation}) {
				problems = append(problems, fmt.Sprintf("operation %s of connection %s has no row under %s", operation, id, topic))
			}
		}
	}
	return problems
}

// subscribers are the names of the connections that have a row, by topic.
func (s snapshot) subscribers() map[string][]string {
	names := map[string][]string{}
	for _, r := range s.rows {
		names[r.topic] = append(names[r.topic], s.connections[r.connection].name)
	}
	return names
}

// forget leaves out the rows of a topic that has no events any more whose connections
// have no socket: their $disconnect was lost, and only the TTL removes them. A host may
// still hold what was ended by somebody else, or by a call that said that it failed; and
// nobody finds out that a host that has such a topic is gone.
func (s *snapshot) forget(topic string) {
	s.rows = slices.DeleteFunc(s.rows, func(r row) bool {
		_, runs := s.connections[r.connection].operations[r.operation]
		return r.topic == topic && (r.held && !runs || !r.held && !s.open[r.connection])
	})
	s.nodes.forget(topic)
}

func text(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func digits(v types.AttributeValue) string {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}

func members(v types.AttributeValue) map[string]types.AttributeValue {
	if m, ok := v.(*types.AttributeValueMemberM); ok {
		return m.Value
	}
	return nil
}
