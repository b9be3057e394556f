package table_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/table"
)

type state string

type place struct {
	Street string `json:"street"`
	Number *int   `json:"number,omitempty"`
}

// order has a field of each kind that a product may use.
type order struct {
	ID       string         `json:"id"`
	State    state          `json:"state"`
	Note     string         `json:"note,omitempty"`
	Total    float64        `json:"total"`
	Count    int64          `json:"count"`
	Small    uint8          `json:"small"`
	Paid     bool           `json:"paid"`
	At       time.Time      `json:"at"`
	Later    time.Time      `json:"later,omitempty"`
	Until    *time.Time     `json:"until"`
	Name     *string        `json:"name"`
	Place    place          `json:"place"`
	Other    *place         `json:"other,omitempty"`
	Tags     []string       `json:"tags"`
	Places   []place        `json:"places"`
	Times    []time.Time    `json:"times"`
	Counts   map[string]int `json:"counts"`
	Raw      []byte         `json:"raw"`
	Any      any            `json:"any"`
	Quoted   int            `json:"quoted,string"`
	Hidden   string         `json:"-"`
	Untagged string
	place    // not exported, but its fields are, as in encoding/json
}

func pointer[T any](v T) *T { return &v }

// encoded is the row of the value as DynamoDB JSON.
func encoded(t *testing.T, v any) string {
	t.Helper()
	row, err := table.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := attributevalue.MarshalMapJSON(row)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestWhatIsEncodedDecodesToTheSame(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_790_000_000_123).UTC()
	for name, want := range map[string]order{
		"Zero": {},
		"All": {
			ID: "1", State: "placed", Note: "n", Total: 1.1, Count: 1<<63 - 1, Small: 255, Paid: true,
			At: at, Later: at, Until: &at, Times: []time.Time{at}, Name: pointer(""),
			Place: place{"s", pointer(0)}, Other: &place{}, Places: []place{{}, {"s", pointer(1)}},
			Tags: []string{"a", ""}, Counts: map[string]int{"a b": 1, "#": 0}, Raw: []byte{0, 255},
			Any:    map[string]any{"a": []any{"b", 1.5, nil, true}},
			Quoted: 7, Untagged: "u", place: place{Street: "embedded"},
		},
		"Empty":           {Tags: []string{}, Places: []place{}, Counts: map[string]int{}, Raw: []byte{}},
		"BeforeTheEpoch":  {At: time.UnixMilli(-1).UTC()},
		"NegativeNumbers": {Total: -1e-100, Count: -1 << 63},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := table.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			var got order
			if err := table.Decode(row, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(order{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The attributes have the names of encoding/json, and are left out when its members are.
func TestAttributesHaveTheNamesOfJSON(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]order{
		"Zero": {}, "OmitEmpty": {Note: "n", Later: time.UnixMilli(1), Other: &place{}},
	} {
		row, err := table.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		if v.Later.IsZero() {
			delete(members, "later") // encoding/json never leaves out a struct
		}
		for member := range members {
			if row[member] == nil {
				t.Errorf("%s: no attribute %s", name, member)
			}
			delete(row, member)
		}
		if len(row) > 0 {
			t.Errorf("%s: attributes %v are no members", name, row)
		}
	}
}

func TestTimesAreMilliseconds(t *testing.T) {
	t.Parallel()
	type times struct {
		At time.Time `json:"at"`
	}
	zone := time.FixedZone("", 3600)
	at := time.Date(2026, 9, 21, 14, 13, 20, 123_999_999, zone)
	if got, want := encoded(t, times{at}), `{"at":{"N":"1789996400123"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, tt := range []struct {
		stored string
		want   time.Time // zero for an error
	}{
		{`{"at":{"N":"1789996400123"}}`, time.Date(2026, 9, 21, 13, 13, 20, 123_000_000, time.UTC)},
		{`{"at":{"S":"2026-09-21T13:13:20Z"}}`, time.Date(2026, 9, 21, 13, 13, 20, 0, time.UTC)},
		{`{"at":{"N":"1.5"}}`, time.Time{}},
		{`{"at":{"N":"1e3"}}`, time.Time{}},
		{`{"at":{"N":"99999999999999999999"}}`, time.Time{}},
		{`{"at":{"S":"today"}}`, time.Time{}},
		{`{"at":{"BOOL":true}}`, time.Time{}},
	} {
		var got times
		err := table.Decode(fromJSON(t, tt.stored), &got)
		if err == nil && got.At != tt.want || (err != nil) != tt.want.IsZero() {
			t.Errorf("%s: got %v, %v", tt.stored, got.At, err)
		}
	}
}

// An earlier release stores chat messages with these attributes, and without senderId
// if nobody is signed in.
func TestMessagesOfAnEarlierReleaseDecode(t *testing.T) {
	t.Parallel()
	type message struct {
		ID         string    `json:"id"`
		ChatID     string    `json:"chatId"`
		Content    string    `json:"content"`
		SenderName string    `json:"senderName"`
		SenderID   string    `json:"senderId,omitempty"`
		CreatedAt  time.Time `json:"createdAt"`
	}
	at := time.UnixMilli(1_790_000_000_123).UTC()
	want := message{ID: "01J", ChatID: "lobby", Content: "Grüße", SenderName: "Ada", CreatedAt: at}
	stored := `{"chatId":{"S":"lobby"},"id":{"S":"01J"},"content":{"S":"Grüße"},"senderName":{"S":"Ada"},` +
		`"createdAt":{"N":"1790000000123"}`
	for end, sender := range map[string]string{
		`}`: "", `,"senderId":{"S":"u1"}}`: "u1", `,"senderId":{"S":"u2"},"later":{"L":[]}}`: "u2",
	} {
		var got message
		if err := table.Decode(fromJSON(t, stored+end), &got); err != nil {
			t.Fatal(err)
		}
		want.SenderID = sender
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	want.SenderID = ""
	if diff := cmp.Diff(fromJSON(t, stored+`}`), fromJSON(t, encoded(t, want)), exported); diff != "" {
		t.Errorf("what this release writes differs (-want +got):\n%s", diff)
	}
}

var exported = cmp.Exporter(func(reflect.Type) bool { return true })

// fromJSON reads DynamoDB JSON as the SDK does.
func fromJSON(t *testing.T, raw string) table.Row {
	t.Helper()
	row, err := attributevalue.UnmarshalMapJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// images are DynamoDB JSON with every type.
var images = map[string]string{
	"None":    `{}`,
	"Text":    `{"a":{"S":"Grüße 😀"},"b":{"S":""}}`,
	"Number":  `{"a":{"N":"1"},"b":{"N":"-1.50"},"c":{"N":"99999999999999999999999999999999999999"}}`,
	"Boolean": `{"a":{"BOOL":true},"b":{"BOOL":false}}`,
	"Null":    `{"a":{"NULL":true}}`,
	"Binary":  `{"a":{"B":"AP8="},"b":{"B":""}}`,
	"Sets":    `{"a":{"SS":["x","y"]},"b":{"NS":["1","2.5"]},"c":{"BS":["AA==","/w=="]}}`,
	"List":    `{"a":{"L":[{"S":"x"},{"N":"1"},{"NULL":true},{"L":[]},{"M":{}}]},"b":{"L":[]}}`,
	"Map":     `{"a":{"M":{"b":{"M":{"c":{"BOOL":true}}},"":{"S":"x"}}}}`,
}

func TestFromImageReadsWhatTheSDKReads(t *testing.T) {
	t.Parallel()
	for name, raw := range images {
		var image map[string]events.DynamoDBAttributeValue
		if err := json.Unmarshal([]byte(raw), &image); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := table.FromImage(image)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(fromJSON(t, raw), got, exported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnImageThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	none := events.DynamoDBAttributeValue{} // as of a member that is missing
	for name, v := range map[string]events.DynamoDBAttributeValue{
		"Attribute": none,
		"InAList":   events.NewListAttribute([]events.DynamoDBAttributeValue{none}),
		"InAMap":    events.NewMapAttribute(map[string]events.DynamoDBAttributeValue{"b": none}),
	} {
		row, err := table.FromImage(map[string]events.DynamoDBAttributeValue{"a": v})
		if err == nil || !strings.Contains(err.Error(), "attribute a") {
			t.Errorf("%s: got %v, %v", name, row, err)
		}
	}
}

// FuzzImage checks that no image makes anything panic, that what decodes can be encoded
// again, and that a row has one normal form.
func FuzzImage(f *testing.F) {
	for _, raw := range images {
		f.Add([]byte(raw))
	}
	f.Add([]byte(`{"id":{"N":"1"},"at":{"S":"x"},"place":{"M":{"number":{"S":"1"}}},"count":{"N":"1e999999999"}}`))
	f.Add([]byte(`{"places":{"L":[{"M":{"street":{"NULL":true}}},{"S":"x"}]},"tags":{"SS":["a"]}}`))
	f.Add([]byte(`{"counts":{"M":{"a":{"N":"0.5"}}},"raw":{"S":"x"},"any":{"BS":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		image, err := imageOf(raw)
		if err != nil {
			return
		}
		row, err := table.FromImage(image)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		var o order
		if err := table.Decode(row, &o); err == nil {
			if _, err := table.Encode(o); err != nil {
				t.Errorf("%s decodes to what cannot be encoded: %v", raw, err)
			}
		}
		_ = table.Bytes(row)
		normal := table.Normal(row)
		if diff := cmp.Diff(normal, table.Normal(normal), exported); diff != "" {
			t.Errorf("a normal row has another normal form:\n%s", diff)
		}
	})
}

// imageOf reads an image as the runtime does, whose decoder panics if a binary set holds
// anything but strings.
func imageOf(raw []byte) (image map[string]events.DynamoDBAttributeValue, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("no image: %v", panicked)
		}
	}()
	err = json.Unmarshal(raw, &image)
	return image, err
}
