package dynamo

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/node"
	"subwire/shared/pubsub"
)

// connectionItem is a connection as it is stored. The two maps exist from the start, as
// an update can only set a member of an existing map.
type connectionItem struct {
	ID           string `dynamodbav:"id"`
	ConnectedAt  int64  `dynamodbav:"connectedAt"`  // Unix milliseconds, like all times but ttl
	InitDeadline int64  `dynamodbav:"initDeadline"` //
	TTL          int64  `dynamodbav:"ttl"`          // Unix seconds

	Acknowledged   bool   `dynamodbav:"acknowledged"`
	AcknowledgedBy string `dynamodbav:"acknowledgedBy,omitempty"` // token of that call
	Init           string `dynamodbav:"init,omitempty"`           // JSON
	Viewer         string `dynamodbav:"viewer,omitempty"`         // its id
	Claims         string `dynamodbav:"claims,omitempty"`         // its claims, JSON
	Quota          string `dynamodbav:"holder,omitempty"`         // see quota.go
	Address        string `dynamodbav:"address,omitempty"`        // of the client, behind CloudFront
	ReplayMinute   int64  `dynamodbav:"replayMinute,omitempty"`   // Unix minutes
	Replayed       int    `dynamodbav:"replayed,omitempty"`       // events, in that minute
	ReplayedBytes  int    `dynamodbav:"replayedBytes,omitempty"`  // of them
	ReplayedBy     string `dynamodbav:"replayedBy,omitempty"`     // token of the call that counted last
	Ended          string `dynamodbav:"ended,omitempty"`          // see end in complete.go
	Closing        bool   `dynamodbav:"closing,omitempty"`        // its deletion has begun: it is gone

	Operations     map[string]runningItem `dynamodbav:"operations"`               // by operation id
	OperationBytes int                    `dynamodbav:"operationBytes,omitempty"` // of them: see pubsub.OperationBytes

	// What is remembered of an operation id: see complete.go. Connections of an older
	// release have no Turns.
	Completed map[string]int64      `dynamodbav:"completed"`
	Turns     map[string][]turnItem `dynamodbav:"turns"`
}

// runningItem is one running operation of a connection.
type runningItem struct {
	Topic     string   `dynamodbav:"topic,omitempty"`
	Union     []string `dynamodbav:"union,omitempty"`     // see pubsub.Subscription
	Replaying string   `dynamodbav:"replaying,omitempty"` // see pubsub.Running; older releases leave it beside Topic
	At        int64    `dynamodbav:"at"`                  // when the client began it
	By        string   `dynamodbav:"by,omitempty"`        // id of the message that began it; an older release's has none
	Key       string   `dynamodbav:"key,omitempty"`       // what tells its operation key from others; also none there
	Parts     int      `dynamodbav:"parts,omitempty"`     // bit i: the row of topics()[i] is in a part, see layout.go
}

// bytes is what the operation under its id adds to operationBytes.
func (r runningItem) bytes(id string) int {
	return pubsub.OperationBytes(id, cmp.Or(r.Topic, r.Replaying), r.Union...)
}

// topics are those that have a row of the operation.
func (r runningItem) topics() []string {
	return pubsub.Running{Topic: r.Topic, Union: r.Union}.Topics()
}

// turn is the operation's subscribe as a turn.
func (r runningItem) turn() pubsub.Turn {
	return pubsub.Turn{Sent: pubsub.Sent{At: time.UnixMilli(r.At), ID: r.By}, Key: r.Key}
}

// identity tells the operation from all others that had its id on the connection, even
// one that began in the same millisecond.
func (r runningItem) identity() string { return cmp.Or(r.By, fmt.Sprint("at ", r.At)) }

// tokenOf is what is stored of a message to know it again. If its id is unknown, it is
// a text that no other has.
func tokenOf(m pubsub.Sent) string { return cmp.Or(m.ID, newToken()) }

// newToken returns a text that no other call on the same item has. It is short, since
// it is stored for each operation.
func newToken() string { return rand.Text()[:8] }

// alive is the condition for a connection that is not gone.
const alive = "attribute_exists(id) AND attribute_not_exists(closing) AND #ttl > :now"

// gone reports whether the connection does not exist for readers. An item
// without attributes is gone.
func (i connectionItem) gone() bool { return i.Closing || i.TTL <= time.Now().Unix() }

// bytes is about how large the item is.
func (i connectionItem) bytes() int {
	const around = 512 // attribute names, times, ids and tokens
	return around + len(i.Init) + len(i.Viewer) + len(i.Claims) + len(i.Quota) + i.turnsBytes() + i.operationsBytes()
}

// operationsBytes is what OperationBytes should be.
func (i connectionItem) operationsBytes() (n int) {
	for id, running := range i.Operations {
		n += running.bytes(id)
	}
	return n
}

func connectionKey(id string) attributes { return attributes{"id": text(id)} }

// PutConnection implements pubsub.Store. A connection that is already there stays as it
// is.
func (s *Store) PutConnection(ctx context.Context, c pubsub.Connection) error {
	item, err := attributevalue.MarshalMap(connectionItem{
		ID: c.ID, ConnectedAt: c.ConnectedAt.UnixMilli(), InitDeadline: c.InitDeadline.UnixMilli(),
		TTL: c.Expires.Unix(), Acknowledged: c.Acknowledged, Init: string(c.Init),
		Viewer: c.Viewer.ID, Claims: c.Viewer.Claims, Quota: c.Quota, Address: c.Address,
		Operations: map[string]runningItem{}, Completed: map[string]int64{}, Turns: map[string][]turnItem{},
	})
	if err != nil {
		return fmt.Errorf("encode connection: %w", err)
	}
	_, err = call(ctx, s.client.PutItem, &dynamodb.PutItemInput{
		TableName: &s.tables.Connections, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	})
	if _, exists := failedCondition(err); err != nil && !exists {
		return fmt.Errorf("put connection: %w", err)
	}
	return nil
}

// Connection implements pubsub.Store. An item counts as gone if its time is up, even
// before DynamoDB deletes it, or if its deletion was interrupted.
func (s *Store) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return pubsub.Connection{}, fmt.Errorf("get connection: %w", err)
	}
	return decodeConnection(out.Item)
}

// Connections yields every connection; the lease of a node is none. It reads the whole
// table, at half a read unit per 4 KB: for an operator, not for a function. It ends after
// the first error.
func (s *Store) Connections(ctx context.Context) iter.Seq2[pubsub.Connection, error] {
	in := &dynamodb.ScanInput{TableName: &s.tables.Connections,
		FilterExpression: aws.String("attribute_exists(connectedAt)")} // quotas have none
	return func(yield func(pubsub.Connection, error) bool) {
		for item, err := range s.scan(ctx, in) {
			var c pubsub.Connection
			if err == nil {
				c, err = decodeConnection(item)
			} else {
				err = fmt.Errorf("scan connections: %w", err)
			}
			if errors.Is(err, pubsub.ErrGone) || node.IsNode(c.ID) {
				continue
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// scanPause is between the pages of a scan, which have 1 MB at most: 512 read units a
// second, of the 3,000 that a partition has for everybody ("Best practices for designing
// and using partition keys effectively").
const scanPause = 250 * time.Millisecond

// scan yields every item of a table, eventually consistent, and ends after an error.
func (s *Store) scan(ctx context.Context, in *dynamodb.ScanInput) iter.Seq2[attributes, error] {
	return func(yield func(attributes, error) bool) {
		in.Limit = s.page
		pages := dynamodb.NewScanPaginator(s.client, in)
		for first := true; pages.HasMorePages(); first = false {
			var page *dynamodb.ScanOutput
			if !first {
				select {
				case <-ctx.Done():
				case <-time.After(scanPause):
				}
			}
			err := retry(ctx, func(ctx context.Context) (err error) { // a failed page is asked for again
				page, err = pages.NextPage(ctx)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// decodeItem reads a connection's item; one without attributes is gone.
func decodeItem(attributes attributes) (item connectionItem, err error) {
	if err := attributevalue.UnmarshalMap(attributes, &item); err != nil {
		return item, fmt.Errorf("decode connection: %w", err)
	}
	return item, nil
}

// decodeConnection turns an item into the connection, or ErrGone.
func decodeConnection(attributes attributes) (pubsub.Connection, error) {
	item, err := decodeItem(attributes)
	if err != nil {
		return pubsub.Connection{}, err
	}
	if item.gone() {
		return pubsub.Connection{}, pubsub.ErrGone
	}
	c := pubsub.Connection{
		ID: item.ID, ConnectedAt: time.UnixMilli(item.ConnectedAt), InitDeadline: time.UnixMilli(item.InitDeadline),
		Expires: time.Unix(item.TTL, 0), Acknowledged: item.Acknowledged,
		Viewer: pubsub.Viewer{ID: item.Viewer, Claims: item.Claims}, Quota: item.Quota, Address: item.Address,
		Operations: make(map[string]pubsub.Running, len(item.Operations)), Bytes: item.bytes(),
	}
	if item.Init != "" {
		c.Init = json.RawMessage(item.Init)
	}
	if item.ReplayMinute != 0 {
		c.ReplayMinute = time.Unix(60*item.ReplayMinute, 0)
		c.Replayed = pubsub.Replayed{Events: item.Replayed, Bytes: item.ReplayedBytes}
	}
	for id, completed := range item.Completed {
		if c.Completed == nil {
			c.Completed = make(map[string]time.Time, len(item.Completed))
		}
		c.Completed[id] = time.UnixMilli(completed)
	}
	for id, running := range item.Operations {
		op := pubsub.Running{Topic: running.Topic, Union: running.Union, At: time.UnixMilli(running.At), By: running.By}
		if op.Topic == "" {
			op.Replaying = running.Replaying
		}
		c.Operations[id] = op
	}
	return c, nil
}

// Renew implements pubsub.Store.
func (s *Store) Renew(ctx context.Context, id string, expires time.Time) error {
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(id),
		UpdateExpression:          aws.String("SET #ttl = :expires"),
		ConditionExpression:       aws.String(alive),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":expires": number(expires.Unix()), ":now": number(time.Now().Unix())},
	})
	if _, failed := failedCondition(err); failed {
		return pubsub.ErrGone
	}
	if err != nil {
		return fmt.Errorf("renew connection: %w", err)
	}
	return nil
}

// Acknowledge implements pubsub.Store. The token tells a repeated attempt that lost its
// first answer from a second connection_init.
func (s *Store) Acknowledge(ctx context.Context, id string, a pubsub.Acknowledgement, at time.Time) error {
	token := rand.Text()
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(id),
		UpdateExpression: aws.String("SET acknowledged = :yes, acknowledgedBy = :token, init = :init," +
			" viewer = :viewer, claims = :claims"),
		ConditionExpression:      aws.String(alive + " AND acknowledged = :no AND initDeadline >= :at"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{
			":yes": boolean(true), ":no": boolean(false), ":token": text(token), ":init": text(string(a.Init)),
			":viewer": text(a.Viewer.ID), ":claims": text(a.Viewer.Claims),
			":at": number(at.UnixMilli()), ":now": number(time.Now().Unix()),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if !a.Expires.IsZero() {
		*in.UpdateExpression += ", #ttl = :ttl"
		in.ExpressionAttributeValues[":ttl"] = number(a.Expires.Unix())
	}
	if a.Quota != "" {
		*in.UpdateExpression += ", holder = :holder"
		in.ExpressionAttributeValues[":holder"] = text(a.Quota)
	}
	_, err := call(ctx, s.client.UpdateItem, in)
	if err == nil {
		return nil
	}
	old, _ := failedCondition(err)
	if by, ok := old["acknowledgedBy"].(*types.AttributeValueMemberS); ok && by.Value == token {
		return nil // even if the connection is gone by now
	}
	return explain("acknowledge connection", err, func(item connectionItem) error {
		switch {
		case item.Acknowledged:
			return pubsub.ErrAlreadyInitialised
		default:
			return pubsub.ErrInitTimeout
		}
	})
}

// DeleteConnection implements pubsub.Store. It first marks the connection, so that no
// operation can begin any more, then deletes its subscriptions' rows, then the
// connection. After a failure on the way, the connection is gone for readers, and
// another call finishes the work.
func (s *Store) DeleteConnection(ctx context.Context, id string) error {
	item, err := s.markClosing(ctx, id, "attribute_exists(id)", attributes{":yes": boolean(true)})
	if _, missing := failedCondition(err); missing {
		return nil
	}
	if err != nil {
		return err
	}
	return s.delete(ctx, item)
}

// DeleteUnacknowledged implements pubsub.Store. It marks the connection like
// DeleteConnection: if it were deleted at once and the answer lost, nobody would know
// whose count it is in.
func (s *Store) DeleteUnacknowledged(ctx context.Context, id string) (bool, error) {
	item, err := s.markClosing(ctx, id, "acknowledged = :no", attributes{":yes": boolean(true), ":no": boolean(false)})
	if old, failed := failedCondition(err); failed {
		return len(old) == 0, nil // otherwise it is acknowledged
	}
	if err != nil {
		return false, err
	}
	if err := s.delete(ctx, item); err != nil {
		return false, err
	}
	return true, nil
}

// markClosing begins the deletion of a connection and returns its new state. If the condition
// fails it returns the item, if there is one.
func (s *Store) markClosing(ctx context.Context, id, condition string, values attributes) (connectionItem, error) {
	marked, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(id),
		UpdateExpression:                    aws.String("SET closing = :yes"),
		ConditionExpression:                 &condition,
		ExpressionAttributeValues:           values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return connectionItem{}, fmt.Errorf("mark connection: %w", err)
	}
	return decodeItem(marked.Attributes)
}

// delete deletes what a marked connection owns, and then the connection.
func (s *Store) delete(ctx context.Context, item connectionItem) error {
	if err := s.deleteAllRows(ctx, item.ID, item.Operations); err != nil {
		return err
	}
	if err := s.releaseQuota(ctx, item); err != nil {
		return err
	}
	_, err := call(ctx, s.client.DeleteItem, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(item.ID)})
	if err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}
