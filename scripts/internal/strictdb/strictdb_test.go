package strictdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/shared/sdkhttp"
	"subwire/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = topology.Table{Name: "t", Key: "p", Sort: "s", Indexes: []topology.Index{{Name: "byS", Key: "s"}}}

const name = "x-t"

// backed is a DB before our own server, with an SDK client that tries once.
type backed struct {
	*DB
	client *dynamodb.Client

	mu     sync.Mutex
	bodies []string               // received by the server
	answer func(op string) string // of the server; nil for none
	wait   chan struct{}          // unless nil, every call waits for it in the server
	inside chan struct{}          // signalled when a call has reached the server
}

func before(t *testing.T, cfg Config) *backed {
	t.Helper()
	cfg.Prefix, cfg.Tables = "x-", []topology.Table{table}
	if cfg.Hold == nil {
		cfg.Hold = func() time.Duration { return 0 }
	}
	b := &backed{DB: New(cfg), inside: make(chan struct{}, 1000)}
	server := httptest.NewServer(http.HandlerFunc(b.serve))
	proxy, err := b.Proxy(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(proxy)
	transport := &http.Transport{}
	t.Cleanup(func() {
		front.Close()
		server.Close()
		transport.CloseIdleConnections()
	})
	b.client = dynamodb.New(dynamodb.Options{BaseEndpoint: &front.URL, Region: "us-east-1", Retryer: aws.NopRetryer{},
		HTTPClient: sdkhttp.Wrap(&http.Client{Transport: transport}),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		})})
	return b
}

func (b *backed) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.bodies = append(b.bodies, string(body))
	wait := b.wait
	b.mu.Unlock()
	b.inside <- struct{}{}
	if wait != nil {
		<-wait
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.Header().Set("Content-Type", contentType)
	answer := "{}"
	if b.answer != nil {
		answer = b.answer(op)
	}
	fmt.Fprint(w, answer)
}

func key(p, s string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"p": &types.AttributeValueMemberS{Value: p}, "s": &types.AttributeValueMemberS{Value: s}}
}

// The calls of the tests, each about items of partition p.
func (b *backed) put(ctx context.Context, sort string) error {
	_, err := b.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(name), Item: key("p", sort)})
	return err
}

func (b *backed) update(ctx context.Context, sort string) error {
	_, err := b.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(name), Key: key("p", sort)})
	return err
}

func (b *backed) delete(ctx context.Context, sort string) error {
	_, err := b.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(name), Key: key("p", sort)})
	return err
}

func (b *backed) get(ctx context.Context, sort string) error {
	_, err := b.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(name), Key: key("p", sort)})
	return err
}

// transact checks the first item and writes the others.
func (b *backed) transact(ctx context.Context, sorts ...string) error {
	items := []types.TransactWriteItem{{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(name), Key: key("p", sorts[0]), ConditionExpression: aws.String("attribute_exists(p)")}}}
	for _, s := range sorts[1:] {
		items = append(items, types.TransactWriteItem{Put: &types.Put{TableName: aws.String(name), Item: key("p", s)}})
	}
	_, err := b.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

func (b *backed) transactGet(ctx context.Context, sort string) error {
	_, err := b.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String(name), Key: key("p", sort)}}}})
	return err
}

// batch writes the items and returns the sort keys of those that came back.
func (b *backed) batch(ctx context.Context, sorts ...string) (left []string, err error) {
	var requests []types.WriteRequest
	for _, s := range sorts {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: key("p", s)}})
	}
	out, err := b.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{name: requests}})
	if err != nil {
		return nil, err
	}
	for _, r := range out.UnprocessedItems[name] {
		left = append(left, r.PutRequest.Item["s"].(*types.AttributeValueMemberS).Value)
	}
	return left, nil
}

// code is an error as callers see it: its code, and for a cancelled transaction the
// codes of all reasons.
func code(err error) string {
	var cancelled *types.TransactionCanceledException
	var coded smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &cancelled):
		var codes []string
		for _, r := range cancelled.CancellationReasons {
			codes = append(codes, *r.Code)
		}
		return strings.Join(codes, " ")
	case errors.As(err, &coded):
		return coded.ErrorCode()
	}
	return err.Error()
}

// held runs a call until it is inside the server. It returns a function that lets it
// continue and waits until it ends.
func (b *backed) held(t *testing.T, call func() error) (release func()) {
	t.Helper()
	wait, done := make(chan struct{}), make(chan error, 1)
	b.mu.Lock()
	b.wait = wait
	b.mu.Unlock()
	go func() { done <- call() }()
	<-b.inside
	b.mu.Lock()
	b.wait = nil
	b.mu.Unlock()
	return func() {
		close(wait)
		if err := <-done; err != nil {
			t.Errorf("the call that was there first: %v", err)
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	type run func(context.Context, *backed) error
	transaction := func(sorts ...string) run {
		return func(ctx context.Context, b *backed) error { return b.transact(ctx, sorts...) }
	}
	put := func(ctx context.Context, b *backed) error { return b.put(ctx, "1") }
	for name, tt := range map[string]struct {
		first, second run
		want          string
	}{
		"APutMeetsATransaction":            {transaction("0", "1"), put, "TransactionConflictException"},
		"APutMeetsTheCheckOfATransaction":  {transaction("1", "2"), put, "TransactionConflictException"},
		"AnUpdateMeetsATransaction":        {transaction("0", "1"), func(ctx context.Context, b *backed) error { return b.update(ctx, "1") }, "TransactionConflictException"},
		"ADeleteMeetsATransaction":         {transaction("0", "1"), func(ctx context.Context, b *backed) error { return b.delete(ctx, "1") }, "TransactionConflictException"},
		"AGetMeetsATransaction":            {transaction("0", "1"), func(ctx context.Context, b *backed) error { return b.get(ctx, "1") }, ""},
		"ATransactionMeetsATransaction":    {transaction("0", "1"), transaction("2", "1", "3"), "None TransactionConflict None"},
		"ATransactionMeetsAPut":            {put, transaction("0", "1"), "None TransactionConflict"},
		"ATransactionMeetsABatch":          {func(ctx context.Context, b *backed) error { _, err := b.batch(ctx, "1"); return err }, transaction("1", "2"), "TransactionConflict None"},
		"ATransactionOfReadsMeetsAPut":     {put, func(ctx context.Context, b *backed) error { return b.transactGet(ctx, "1") }, "TransactionConflict"},
		"AnUpdateMeetsAnUpdate":            {func(ctx context.Context, b *backed) error { return b.update(ctx, "1") }, func(ctx context.Context, b *backed) error { return b.update(ctx, "1") }, ""},
		"ATransactionMeetsAnother'sOthers": {transaction("0", "1"), transaction("2", "3"), ""},
		"ATransactionMeetsAReadOfItsItems": {func(ctx context.Context, b *backed) error { return b.transactGet(ctx, "1") }, transaction("0", "1"), ""},
		"ABatchOfNothingElseIsRefused":     {transaction("0", "1"), func(ctx context.Context, b *backed) error { _, err := b.batch(ctx, "1", "0"); return err }, "TransactionConflictException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := before(t, Config{})
			release := b.held(t, func() error { return tt.first(t.Context(), b) })
			if got := code(tt.second(t.Context(), b)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			release()
			if err := tt.second(t.Context(), b); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if n := len(b.locks.items); n != 0 {
				t.Errorf("%d items are still held", n)
			}
		})
	}
}

func TestWhatABatchCannotWriteComesBack(t *testing.T) {
	t.Parallel()
	b := before(t, Config{})
	b.answer = func(op string) string {
		return `{"UnprocessedItems":{"x-t":[{"PutRequest":{"Item":{"s":{"S":"9"}}}}]}}`
	}
	release := b.held(t, func() error { return b.transact(t.Context(), "0", "1") })
	left, err := b.batch(t.Context(), "1", "2", "0", "9")
	if diff := cmp.Diff([]string{"1", "0", "9"}, left); err != nil || diff != "" {
		t.Errorf("error %v; given back (-want +got):\n%s", err, diff)
	}
	if sent := b.bodies[len(b.bodies)-1]; strings.Count(sent, "PutRequest") != 2 || !strings.Contains(sent, `{"S":"2"}`) {
		t.Errorf("the server got %s", sent)
	}
	release()
}

func TestATransactionLastsAndIsReleasedBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{Prefix: "x-", Tables: []topology.Table{table}, Hold: func() time.Duration { return 20 * time.Millisecond }})
		c, ok := d.parse("TransactWriteItems", []byte(`{"TransactItems":[{"Put":{"TableName":"x-t","Item":{"p":{"S":"p"},"s":{"S":"1"}}}}]}`))
		if !ok {
			t.Fatal("the call is not watched")
		}
		begin := time.Now()
		for range 3 { // one after the other there is no conflict
			if a := d.serve(c, func([]byte) *answer { return &answer{header: http.Header{}} }); !a.ok() {
				t.Errorf("answered %s", a.body.String())
			}
		}
		if took := time.Since(begin); took != 60*time.Millisecond {
			t.Errorf("three transactions took %v", took)
		}
	})
}

func TestHoldsAreFrom5To25Milliseconds(t *testing.T) {
	t.Parallel()
	hold, again, seen := holds(1), holds(1), map[time.Duration]bool{}
	for range 1000 {
		d := hold()
		if d < 5*time.Millisecond || d >= 25*time.Millisecond || d != again() {
			t.Fatalf("held for %v", d)
		}
		seen[d.Truncate(time.Millisecond)] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different milliseconds", len(seen))
	}
}

func TestATokenIsOneTransactionAtATime(t *testing.T) {
	t.Parallel()
	b := before(t, Config{})
	transact := func(sort string) error {
		_, err := b.client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token"),
			TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: aws.String(name), Item: key("p", sort)}}}})
		return err
	}
	release := b.held(t, func() error { return transact("1") })
	if got := code(transact("1")); got != "TransactionInProgressException" {
		t.Errorf("got %q", got)
	}
	release()
	if err := transact("1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestThroughputOfAPartitionKey(t *testing.T) {
	t.Parallel()
	const (
		item     = `"TableName":"x-t","Item":{"p":{"S":"p"},"s":{"S":"1"}}`
		key      = `"TableName":"x-t","Key":{"p":{"S":"p"},"s":{"S":"1"}}`
		values   = `"TableName":"x-t","ExpressionAttributeNames":{"#k":"p"},"ExpressionAttributeValues":{":v":{"S":"p"},":s":{"S":"1"}}`
		gets     = `{"RequestItems":{"x-t":{"ConsistentRead":true,"Keys":[{"p":{"S":"p"},"s":{"S":"1"}},{"p":{"S":"p"},"s":{"S":"2"}}]}}}`
		hot      = "ThrottlingException ProvisionedThroughputExceededException "
		transact = `{"TransactItems":[{"Put":{` + item + `}},{"Update":{"TableName":"x-t","Key":{"p":{"S":"p"},"s":{"S":"2"}}}}]}`
		batch    = `{"RequestItems":{"x-t":[{"PutRequest":{"Item":{"p":{"S":"p"},"s":{"S":"1"}}}},{"DeleteRequest":{"Key":{"p":{"S":"p"},"s":{"S":"2"}}}}]}}`
	)
	for name, tt := range map[string]struct {
		cfg             Config
		operation, body string
		used            float64 // consumption that the server reports for each call
		want            int     // calls that succeed
		codes           string  // of the first two calls that fail
	}{
		"Writes":            {Config{WriteUnits: 10}, "PutItem", `{` + item + `}`, 1, 10, hot},
		"LargeWrites":       {Config{WriteUnits: 10}, "UpdateItem", `{` + key + `}`, 4, 3, hot},
		"Reads":             {Config{ReadUnits: 10, WriteUnits: 1}, "GetItem", `{` + key + `}`, 0.5, 20, hot},
		"ConsistentReads":   {Config{ReadUnits: 10}, "GetItem", `{"ConsistentRead":true,` + key + `}`, 1, 10, hot},
		"Queries":           {Config{ReadUnits: 10}, "Query", `{"KeyConditionExpression":"p = :v AND s > :s",` + values + `}`, 5, 2, hot},
		"QueriesByAnAlias":  {Config{ReadUnits: 10}, "Query", `{"KeyConditionExpression":"s > :s AND #k=:v",` + values + `}`, 5, 2, hot},
		"QueriesOfAnIndex":  {Config{ReadUnits: 10}, "Query", `{"IndexName":"byS","KeyConditionExpression":"s = :s",` + values + `}`, 5, 2, hot},
		"BatchesOfReads":    {Config{ReadUnits: 10, WriteUnits: 1}, "BatchGetItem", gets, 2, 5, hot},
		"Transactions":      {Config{WriteUnits: 11}, "TransactWriteItems", transact, 4, 2, "None,ThrottlingError ThrottlingError,ThrottlingError "},
		"LargeTransactions": {Config{WriteUnits: 9}, "TransactWriteItems", transact, 8, 1, "ThrottlingError,ThrottlingError ThrottlingError,ThrottlingError "},
		"Batches":           {Config{WriteUnits: 4}, "BatchWriteItem", batch, 2, 2, hot},
		"NoLimit":           {Config{WriteUnits: -1}, "PutItem", `{` + item + `}`, 1000, 50, ""},
		"OtherTables":       {Config{WriteUnits: 1}, "PutItem", `{"TableName":"other","Item":{}}`, 1000, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // no time passes
				tt.cfg.Prefix, tt.cfg.Tables, tt.cfg.Hold = "x-", []topology.Table{table}, func() time.Duration { return 0 }
				d := New(tt.cfg)
				c, watched := d.parse(tt.operation, []byte(tt.body))
				if watched != (tt.want > 0) {
					t.Fatalf("watched: %t", watched)
				}
				succeeded, codes := 0, ""
				for n := 0; watched && n < 50; n++ {
					if a := d.serve(c, consuming(tt.operation, tt.used)); a.ok() {
						succeeded++
					} else if n < tt.want+2 {
						codes += codesOf(t, a) + " "
					}
				}
				if succeeded != tt.want || codes != tt.codes {
					t.Errorf("%d calls succeeded, want %d; then %q, want %q", succeeded, tt.want, codes, tt.codes)
				}
				time.Sleep(time.Minute)
				if a := d.serve(c, consuming(tt.operation, tt.used)); watched && !a.ok() {
					t.Errorf("after a minute: %s", a.body.String())
				}
			})
		})
	}
}

// consuming is a server that reports this consumption for every call.
func consuming(operation string, used float64) func([]byte) *answer {
	capacity := fmt.Sprintf(`{"TableName":"x-t","CapacityUnits":%v}`, used)
	switch {
	case strings.HasPrefix(operation, "Transact"): // one for each of two items, like DynamoDB Local
		half := fmt.Sprintf(`{"TableName":"x-t","CapacityUnits":%v}`, used/2)
		capacity = "[" + half + "," + half + "]"
	case strings.HasPrefix(operation, "Batch"):
		capacity = "[" + capacity + "]"
	}
	return func([]byte) *answer {
		a := &answer{header: http.Header{}}
		fmt.Fprintf(a, `{"ConsumedCapacity":%s}`, capacity)
		return a
	}
}

func codesOf(t *testing.T, a *answer) string {
	t.Helper()
	var body struct {
		Type    string   `json:"__type"`
		Reasons []reason `json:"CancellationReasons"`
	}
	if err := json.Unmarshal(a.body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if body.Reasons == nil {
		return strings.TrimPrefix(body.Type, namespace)
	}
	var codes []string
	for _, r := range body.Reasons {
		codes = append(codes, r.Code)
	}
	return strings.Join(codes, ",")
}

func TestTheSDKReadsThrottles(t *testing.T) {
	t.Parallel()
	b := before(t, Config{WriteUnits: 0.1}) // less than any write takes
	var first *types.ThrottlingException
	if err := b.put(t.Context(), "1"); !errors.As(err, &first) || *first.ThrottlingReasons[0].Reason != "TableWriteKeyRangeThroughputExceeded" {
		t.Errorf("got %v", err)
	}
	var second *types.ProvisionedThroughputExceededException
	if err := b.put(t.Context(), "1"); !errors.As(err, &second) || !strings.HasSuffix(*second.ThrottlingReasons[0].Resource, ":table/x-t") {
		t.Errorf("got %v", err)
	}
	if got := code(b.transact(t.Context(), "1", "2")); got != "ThrottlingError ThrottlingError" {
		t.Errorf("got %q", got)
	}
	if got := code(b.get(t.Context(), "1")); got != "" {
		t.Errorf("a read is refused: %s", got)
	}
}

func TestABatchThatIsPartlyOverItsThroughputIsDoneInPart(t *testing.T) {
	t.Parallel()
	b := before(t, Config{WriteUnits: 2.1})
	left, err := b.batch(t.Context(), "1", "2", "3")
	if diff := cmp.Diff([]string{"3"}, left); err != nil || diff != "" {
		t.Errorf("error %v; given back (-want +got):\n%s", err, diff)
	}
}

func TestOffPassesEverythingOn(t *testing.T) {
	t.Parallel()
	b := before(t, Config{Off: true, WriteUnits: 0.1})
	release := b.held(t, func() error { return b.transact(t.Context(), "0", "1") })
	if err := b.put(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	release()
}

// A global secondary index has a throughput of its own.
func TestAnIndexAndItsTableDoNotThrottleEachOther(t *testing.T) {
	t.Parallel()
	var told []string
	d := New(Config{Tables: []topology.Table{table}, ReadUnits: 1,
		Throttled: func(table, index string, read bool) { told = append(told, fmt.Sprint(table, " ", index, " ", read)) }})
	ofTable, ofIndex := access{table: "t", partition: "a", read: true, least: 1}, access{table: "t", index: "byS", partition: "a", read: true, least: 1}
	if over := d.admit([]access{ofTable, ofIndex, ofTable, ofIndex}); !slices.Equal(over, []bool{false, false, true, true}) {
		t.Errorf("over their throughput: %v", over)
	}
	if want := []string{"t  true", "t byS true"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// Each call reports what it consumed once, by partition key; a call that fails reports nothing.
func TestWhatIsConsumedIsTold(t *testing.T) {
	t.Parallel()
	told := map[string]float64{}
	b := before(t, Config{WriteUnits: 4, Consumed: func(u Use) {
		told[fmt.Sprint(u.Table, " ", u.Partition, " ", u.Sort, " ", u.Read)] += u.Units
	}})
	b.answer = func(op string) string {
		units := map[string]int{"PutItem": 3, "UpdateItem": 4000, "GetItem": 7}[op] // the update those of a thousand seconds
		return fmt.Sprintf(`{"ConsumedCapacity":{"TableName":"x-t","CapacityUnits":%d}}`, units)
	}
	if err := errors.Join(b.put(t.Context(), "1"), b.update(t.Context(), "2"), b.get(t.Context(), "1")); err != nil {
		t.Fatal(err)
	}
	if err := b.put(t.Context(), "3"); err == nil {
		t.Error("a put beyond the throughput succeeded")
	}
	if want := map[string]float64{"t p 1 false": 3, "t p 2 false": 4000, "t p 1 true": 7}; !maps.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

func TestBucketsOfQuietKeysGo(t *testing.T) {
	t.Parallel()
	d := New(Config{Tables: []topology.Table{table}})
	for i := range 3 * manyKeys {
		d.bucket(access{table: "t", partition: fmt.Sprint(i)}).Take(0)
	}
	if n := len(d.writes.keys); n > manyKeys {
		t.Errorf("%d buckets", n)
	}
}

// Whatever a caller sends is passed on or refused, and nothing stays held.
func FuzzCalls(f *testing.F) {
	for _, op := range []string{"PutItem", "Query", "TransactWriteItems", "TransactGetItems", "BatchWriteItem"} {
		f.Add(op, `{"TableName":"x-t","Item":{"p":{"S":"p"}},"KeyConditionExpression":"p = :v",`+
			`"TransactItems":[{"Put":{"TableName":"x-t","Item":{}}},{"Put":{"TableName":"x-t","Item":{}}}],`+
			`"RequestItems":{"x-t":[{"PutRequest":{"Item":{"p":{"N":"1"}}}},{"PutRequest":{"Item":{"p":{"N":"1"}}}}]}}`)
	}
	f.Fuzz(func(t *testing.T, operation, body string) {
		d := New(Config{Prefix: "x-", Tables: []topology.Table{table}, Hold: func() time.Duration { return 0 }, WriteUnits: 1.5})
		c, watched := d.parse(operation, []byte(body))
		if !watched {
			return
		}
		if a := d.serve(c, consuming(operation, 3)); !json.Valid(a.body.Bytes()) {
			t.Errorf("answered %q", a.body.Bytes())
		}
		if len(d.locks.items) > 0 || len(d.locks.tokens) > 0 {
			t.Errorf("still held: %v, %v", d.locks.items, d.locks.tokens)
		}
	})
}
