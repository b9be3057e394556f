package dynamo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// metered is a transport that adds up what DynamoDB Local says that requests consume, by
// partition key, of subscriptions and operations.
type metered struct {
	mu     sync.Mutex
	reads  map[string]float64
	writes map[string]float64
}

func (m *metered) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads, m.writes = map[string]float64{}, map[string]float64{}
}

func (m *metered) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	keys, read := partitions(actionOf(r), body)
	body = append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), body[1:]...)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out, answer, err := exchange(r)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if read {
			m.reads[key] += consumed(answer) / float64(len(keys))
		} else {
			m.writes[key] += consumed(answer) / float64(len(keys))
		}
	}
	return out, nil
}

// partitions are the partition keys that a request is about, and whether it reads.
func partitions(action string, body []byte) (keys []string, read bool) {
	type key struct{ Topic, Key struct{ S string } }
	var r struct {
		Key, Item    key
		RequestItems map[string]json.RawMessage
		Values       map[string]struct{ S string } `json:"ExpressionAttributeValues"`
	}
	_ = json.Unmarshal(body, &r)
	switch action {
	case "Query":
		return []string{r.Values[":topic"].S}, true
	case "BatchGetItem":
		for _, raw := range r.RequestItems {
			var batch struct{ Keys []key }
			_ = json.Unmarshal(raw, &batch)
			for _, k := range batch.Keys {
				keys = append(keys, k.Topic.S)
			}
		}
		return keys, true
	}
	for _, k := range []key{r.Key, r.Item} {
		if name := k.Topic.S + k.Key.S; name != "" {
			return []string{name}, action == "GetItem"
		}
	}
	return nil, false
}

func consumed(answer []byte) (units float64) {
	type capacity struct{ CapacityUnits float64 }
	var one struct{ ConsumedCapacity capacity }
	if json.Unmarshal(answer, &one) == nil {
		return one.ConsumedCapacity.CapacityUnits
	}
	var many struct{ ConsumedCapacity []capacity }
	_ = json.Unmarshal(answer, &many)
	for _, c := range many.ConsumedCapacity {
		units += c.CapacityUnits
	}
	return units
}

// total and most are the units of all partition keys, and of the busiest.
func total(units map[string]float64) (sum float64) {
	for _, n := range units {
		sum += n
	}
	return sum
}

func most(units map[string]float64) float64 {
	return slices.Max(append(slices.Collect(maps.Values(units)), 0))
}

// hot is a topic of n subscribers, without or with parts, and what using it consumes.
type hot struct {
	testing.TB
	s     *Store // of a process of the writers, and of the reader
	meter *metered
	n     int
	next  int // connection
}

func newHot(t testing.TB, n int, parts bool) *hot {
	h := &hot{TB: t, n: n, meter: &metered{}}
	h.meter.reset()
	h.s = failing(localStore(t), h.meter, func(string) (fault, string) { return noFault, "" })
	h.s.LargeTopics = parts
	if parts {
		if err := markedNow(t.Context(), h.s, "hot"); err != nil {
			t.Fatal(err)
		}
	}
	h.fill(parts)
	return h
}

// fill puts the rows as PutSubscription would, but many at once.
func (h *hot) fill(parts bool) {
	var rows []types.WriteRequest
	changed := map[int]string{} // a connection of each bucket
	running := runningItem{Topic: "hot"}
	if parts {
		running.Parts = 1
	}
	for i := range h.n {
		connection := h.connection(i)
		row := rowKey(running.partition("hot", connection), connection, "1")
		row["operationKey"], row["by"] = text(largeOperation.Key()), text(newToken())
		row["at"], row["ttl"] = number(time.Now().UnixMilli()), number(time.Now().Add(time.Hour).Unix())
		rows = append(rows, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}})
		changed[pubsub.Bucket(connection)] = connection
	}
	h.write(rows)
	for _, connection := range changed {
		if parts {
			if err := h.s.changed(h.Context(), partOf("hot", connection), connection); err != nil {
				h.Fatal(err)
			}
		}
	}
}

// connection is the id of the i-th of those that were there first.
func (h *hot) connection(i int) string { return fmt.Sprintf("R1kmx%07dCFIA=", i) }

// write puts the rows, a batch at a time.
func (h *hot) write(rows []types.WriteRequest) {
	var filling sync.WaitGroup
	batches := make(chan []types.WriteRequest)
	for range 4 {
		filling.Go(func() {
			for batch := range batches {
				_, err := h.s.client.BatchWriteItem(h.Context(), &dynamodb.BatchWriteItemInput{
					RequestItems: map[string][]types.WriteRequest{h.s.tables.Subscriptions: batch}})
				if err != nil {
					h.Error(err)
				}
			}
		})
	}
	for batch := range slices.Chunk(rows, batchRows) {
		batches <- batch
	}
	close(batches)
	filling.Wait()
}

// expire lets the first rows of the topic end before that time.
func (h *hot) expire(count int, before time.Time) {
	h.Helper()
	var rows []types.WriteRequest
	for i := range count {
		row := rowKey("hot", h.connection(i), "1")
		row["operationKey"], row["ttl"] = text("k"), number(before.Unix()-1)
		rows = append(rows, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}})
	}
	h.write(rows)
}

// event reads the topic once.
func (h *hot) event() {
	h.Helper()
	n := 0
	for _, err := range h.s.Subscriptions(h.Context(), "hot", time.Now()) {
		if err != nil {
			h.Fatal(err)
		}
		n++
	}
	if n < h.n {
		h.Fatalf("%d subscriptions of %d", n, h.n)
	}
}

// subscribe adds that many subscribers.
func (h *hot) subscribe(count int) {
	h.Helper()
	for range count {
		h.next++
		c := pubsub.Connection{ID: fmt.Sprintf("S1kmx%07dCFIA=", h.next), Acknowledged: true, Expires: time.Now().Add(time.Hour)}
		err := h.s.PutConnection(h.Context(), c)
		if err == nil {
			err = h.s.PutSubscription(h.Context(), pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: "hot",
				OperationKey: largeOperation.Key(), Expires: c.Expires}, largeOperation, pubsub.Sent{At: time.Now(), ID: newToken()}, 9)
		}
		if err != nil {
			h.Fatal(err)
		}
	}
}

// A large topic is read for less than a tenth once it was read, and for its changes alone
// when it changes. No partition key takes more than a sixteenth of its subscribes.
func TestALargeTopicIsReadForATenth(t *testing.T) {
	t.Parallel()
	const n = 8000
	plain, parts := newHot(t, n, false), newHot(t, n, true)
	plain.meter.reset()
	plain.event()
	before := total(plain.meter.reads)
	parts.event() // the first time it reads all
	parts.meter.reset()
	parts.event()
	if after := total(parts.meter.reads); after > before/10 || most(parts.meter.reads) > 2 {
		t.Errorf("an event reads %v units, of %v without parts; %v of one key", after, before, most(parts.meter.reads))
	}
	parts.subscribe(10)
	parts.meter.reset()
	parts.event()
	if after := total(parts.meter.reads); after > before/5 {
		t.Errorf("after ten subscribes an event reads %v units, of %v without parts", after, before)
	}
	parts.meter.reset()
	parts.subscribe(160)
	delete(parts.meter.writes, largeOperation.Key())
	if busiest := most(parts.meter.writes); busiest > 2*160/topicParts*2 {
		t.Errorf("160 subscribes write %v units of one key", busiest)
	}
}
