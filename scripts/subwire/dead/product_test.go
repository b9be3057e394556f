package dead

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/table"
	"subwire/shared/topology"
)

// shop has rows that change, and rows that are written once.
var shop = topology.Product{Name: "shop", Tables: []topology.Table{
	{Name: "orders", Key: "id", Sort: "version", Stream: true},
	{Name: "visits", Key: "shopId", Sort: "id", Stream: true, Events: []string{"INSERT"}},
}}

// shopSource reads the product's records from the stream, or from the table if it is nil.
func shopSource(stream *fakeStream, table *fakeScan) source {
	return source{stream, table, shop.StreamMappings(), map[string]string{"orders": "subwire-shop-dev-orders", "visits": "subwire-shop-dev-visits"}}
}

func rangeOf(table string) recordRange {
	return recordRange{Start: "100", End: "105", First: time.Unix(1_790_000_000, 0), Last: time.Unix(1_790_000_001, 0), Stream: "arn:aws:dynamodb:eu-west-1:123456789012:table/" + table + "/stream/2026"}
}

func TestEachTablesRecordsAreReadByItsMapping(t *testing.T) {
	t.Parallel()
	change, removal := record("101", "lobby", "A", "hi"), record("105", "lobby", "A", "hi")
	change.EventName, removal.EventName = streamtypes.OperationTypeModify, streamtypes.OperationTypeRemove
	change.Dynamodb.OldImage = change.Dynamodb.NewImage
	pages := [][]streamtypes.Record{{record("100", "lobby", "A", "hi"), change, removal}}
	for name, want := range map[string][]string{"orders": {"INSERT", "MODIFY", "REMOVE"}, "visits": {"INSERT"}} {
		s, r := shopSource(&fakeStream{pages: pages}, nil), rangeOf("subwire-shop-dev-"+name)
		m, ok := s.mapping(r)
		if !ok || m.Table.Name != name {
			t.Fatalf("the mapping of %s is of %s, %v", name, m.Table.Name, ok)
		}
		records, _, err := s.records(t.Context(), m, r)
		var got []string
		for _, record := range records {
			got = append(got, record.EventName)
			if record.EventSourceArn != r.Stream || record.EventName == "MODIFY" && len(record.Change.OldImage) == 0 {
				t.Errorf("%s: read %+v", name, record)
			}
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, records (-want +got):\n%s", name, err, diff)
		}
	}
	if m, ok := shopSource(nil, nil).mapping(rangeOf("subwire-dev-messages")); ok {
		t.Errorf("another product's records are of %s", m.Table.Name)
	}
}

// The table says what a row is, not what it was.
func TestRowsThatChangeAreNotReadFromTheirTable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"orders": 0, "visits": 1} {
		scan := &fakeScan{items: []map[string]types.AttributeValue{stored("lobby", "A")}}
		s, r := shopSource(&fakeStream{iterator: &streamtypes.TrimmedDataAccessException{}}, scan), rangeOf("subwire-shop-dev-"+name)
		m, _ := s.mapping(r)
		records, fromTable, err := s.records(t.Context(), m, r)
		if err != nil || !fromTable || len(records) != want || (scan.in != nil) != (want > 0) {
			t.Errorf("%s: %d records, from the table %v, %v", name, len(records), fromTable, err)
		}
	}
}

func TestALetterOfAnotherProductStays(t *testing.T) {
	t.Parallel()
	tool, f, out := streamTool(&fakeStream{}, nil)
	tool.packer.records.mappings = nil
	send(t, tool, options{queue: "stream-dead", yes: true}, errRemain)
	if len(f.queues["stream-dead"]) != 1 || len(f.queues[topology.Fanout.Name]) != 0 {
		t.Errorf("it says %s", out)
	}
}

// A row that is read from its table is what its stream had.
func TestARowOfEveryType(t *testing.T) {
	t.Parallel()
	row := map[string]types.AttributeValue{
		"s": &types.AttributeValueMemberS{Value: "a"}, "n": &types.AttributeValueMemberN{Value: "1.5"},
		"b": &types.AttributeValueMemberB{Value: []byte{0}}, "bool": &types.AttributeValueMemberBOOL{Value: true},
		"null": &types.AttributeValueMemberNULL{Value: true}, "ss": &types.AttributeValueMemberSS{Value: []string{"a"}},
		"ns": &types.AttributeValueMemberNS{Value: []string{"1"}}, "bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
		"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberS{Value: "b"}}},
		"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"x": &types.AttributeValueMemberN{Value: "2"}}},
	}
	encoded, err := json.Marshal(tableImage(row)) // as it reaches the function
	if err != nil {
		t.Fatal(err)
	}
	var image map[string]events.DynamoDBAttributeValue
	if err := json.Unmarshal(encoded, &image); err != nil {
		t.Fatal(err)
	}
	back, err := table.FromImage(image)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := attributevalue.UnmarshalMap(row, &want); err != nil {
		t.Fatal(err)
	}
	if err := attributevalue.UnmarshalMap(back, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the row differs (-want +got):\n%s", diff)
	}
}
