package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/console"
	"subwire/shared/pubsub"
)

// tables is the part of *dynamodb.Client that says how large a table is.
type tables interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (
		*dynamodb.DescribeTableOutput, error)
}

// connections reads the whole table. It is *dynamo.Store.
type connections interface {
	Connections(ctx context.Context) iter.Seq2[pubsub.Connection, error]
}

// What is shown at most, as in State.
const (
	shownConnections = 500
	shownTopics      = 100
)

// scanTime ends a scan: a store reads 4 MB a second.
const scanTime = 5 * time.Minute

// scanned is what a scan found.
type scanned struct {
	open   int
	some   []console.Connection
	topics []console.Topic
	at     time.Time
}

// priceOf is what a scan of the table costs: half a read unit for 4 KB, as it is eventually
// consistent ("Amazon DynamoDB pricing for on-demand capacity"). DynamoDB counts rows and
// bytes about every six hours ("DescribeTable"), so a table may be larger.
func priceOf(ctx context.Context, client tables, table string) (console.Scan, error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return console.Scan{}, fmt.Errorf("describe %s: %w", table, err)
	}
	units := float64((aws.ToInt64(out.Table.TableSizeBytes)+4095)/4096) / 2
	return console.Scan{Rows: aws.ToInt64(out.Table.ItemCount), Units: units, USD: billing.USEast1().Read.Of(units)}, nil
}

var errStopped = errors.New("the table has many more connections than its price said: the reading has stopped")

// scan reads connections, up to most.
func scan(ctx context.Context, store connections, most int64, now time.Time) (scanned, error) {
	found := scanned{at: now}
	topics := map[string]int{}
	for c, err := range store.Connections(ctx) {
		if err == nil && int64(found.open) == most {
			err = errStopped
		}
		if err != nil {
			return found.with(topics), err
		}
		if !c.Expires.After(now) {
			continue
		}
		found.open++
		for _, running := range c.Operations {
			for _, topic := range running.Topics() {
				if topic != "" {
					topics[topic]++
				}
			}
		}
		if len(found.some) < shownConnections {
			found.some = append(found.some, console.Connection{ID: c.ID, Viewer: c.Viewer.ID, Since: c.ConnectedAt,
				Operations: len(c.Operations)})
		}
	}
	return found.with(topics), nil
}

// with adds the topics with the most subscribers.
func (s scanned) with(topics map[string]int) scanned {
	names := slices.SortedFunc(maps.Keys(topics), func(a, b string) int {
		return cmp.Or(cmp.Compare(topics[b], topics[a]), cmp.Compare(a, b))
	})
	for _, name := range names[:min(len(names), shownTopics)] {
		s.topics = append(s.topics, console.Topic{Name: name, Subscribers: topics[name]})
	}
	return s
}
