package publish

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/deployment"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

const (
	carl = `{"courierId":"carl","latitude":52.5,"longitude":13.4}`
	cora = `{"courierId":"cora","latitude":1,"longitude":2}`
)

// start returns the shop's deployment on DynamoDB Local, without functions.
func start(t *testing.T) deployment.Deployment {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	b, err := backend.Start(t.Context(), backend.Config{Cache: "../../../.cache/jars", Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	d := deployment.Deployment{App: shop.New().Product(), AWS: b.AWS()}
	if d.Tables, err = b.CreateTables(t.Context(), d.App.AllTables(), "publish-"); err != nil {
		t.Fatal(err)
	}
	return d
}

// published returns the data of the events in the inbox, by their ids: the newest of each
// group. The product must understand each.
func published(t *testing.T, d deployment.Deployment) map[string]string {
	t.Helper()
	name := d.Tables[subwire.InboxTable]
	out, err := dynamodb.NewFromConfig(d.AWS).Scan(t.Context(), &dynamodb.ScanInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, row := range out.Items {
		all[table.Text(row, "newest")] = string(understood(t, row).Root)
	}
	return all
}

// understood returns the event that the shop makes of a new row in its inbox, for the
// courier's own topic. There is another for all couriers.
func understood(t *testing.T, row table.Row) pubsub.Event {
	t.Helper()
	found, err := shop.New().Changed(subwire.InboxTable, "", nil, row)
	i := slices.IndexFunc(found, func(e pubsub.Event) bool { return strings.HasPrefix(e.Topic, "courier/") })
	if err != nil || i < 0 || len(found) != 2 {
		t.Fatalf("row %v: %d events, %v", row, len(found), err)
	}
	return found[i]
}

func TestEventsAreInTheTableOnce(t *testing.T) {
	t.Parallel()
	d := start(t)
	p, err := publisher(d)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time all are dropped, "one" also as it is less than "tour"
		for _, tc := range []struct {
			options options
			in, out string
		}{
			{options{event: "courierMoved", id: "one"}, carl, "one\n"},
			{options{event: "courierMoved", id: "tour", lines: true}, carl + "\n" + cora + "\n", "tour-000000001\ntour-000000002\n"},
			{options{event: "courierMoved", id: "none", lines: true}, "", ""},
		} {
			var out strings.Builder
			if err := run(t.Context(), p, tc.options, strings.NewReader(tc.in), &out); err != nil || out.String() != tc.out {
				t.Errorf("%s: printed %q, %v", tc.options.id, &out, err)
			}
		}
		want := map[string]string{"tour-000000001": carl, "tour-000000002": cora}
		if diff := cmp.Diff(want, published(t, d)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
}

// What is refused is not in the table, and the error says why.
func TestEventsThatAreRefused(t *testing.T) {
	t.Parallel()
	d := start(t)
	p, err := publisher(d)
	if err != nil {
		t.Fatal(err)
	}
	large := `{"courierId":"` + strings.Repeat("c", topology.BatchBytes) + `","latitude":1,"longitude":2}`
	for _, tc := range []struct {
		options  options
		in, want string
	}{
		{options{event: "courier", id: "a"}, carl, `product shop takes no event "courier", but ["courierMoved"]`},
		{options{event: "courierMoved", id: "b"}, carl[1:], "the event is no JSON: invalid character ':'"},
		{options{event: "courierMoved", id: "c"}, carl + carl, "the event is no JSON: invalid character '{' after top-level value"},
		{options{event: "courierMoved", id: "d"}, `{"courierId":"carl","latitude":1}`, "it has no longitude"},
		{options{event: "courierMoved", id: "e"}, strings.Replace(carl, "52.5", `"N"`, 1), "cannot unmarshal string"},
		{options{event: "courierMoved", id: "f"}, large, "its group no more than 2048"},
		{options{event: "courierMoved", id: "g", lines: true}, "\n", "line 1: the event is no JSON"},
		{options{event: "courierMoved", id: "h", lines: true}, strings.Repeat(" ", maxLine+1), "read line 1"},
	} {
		var out strings.Builder
		if err := run(t.Context(), p, tc.options, strings.NewReader(tc.in), &out); err == nil || !strings.Contains(err.Error(), tc.want) || out.Len() > 0 {
			t.Errorf("%s: printed %q, error %v", tc.options.id, &out, err)
		}
	}
	var out strings.Builder
	err = run(t.Context(), p, options{event: "courierMoved", id: "i", lines: true}, strings.NewReader(carl+"\n{}\n"+cora), &out)
	if err == nil || !strings.Contains(err.Error(), "line 2: publish courierMoved: event is refused: it has no courierId; with --id i ") || out.String() != "i-000000001\n" {
		t.Errorf("printed %q, error %v", &out, err)
	}
	if diff := cmp.Diff(map[string]string{"i-000000001": carl}, published(t, d)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// docs/publishing.md shows one row; other languages write what it says.
func TestTheRowOfTheDocumentIsAnEvent(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../../docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(document), "\n```json\n")
	text, _, _ := strings.Cut(rest, "\n```\n")
	var image map[string]events.DynamoDBAttributeValue
	if err := json.Unmarshal([]byte(text), &image); err != nil {
		t.Fatalf("docs/publishing.md has no row as JSON: %v", err)
	}
	row, err := table.FromImage(image)
	if err != nil {
		t.Fatal(err)
	}
	e := understood(t, row)
	if e.Topic != "courier/carl" || e.Latest != table.Text(row, "group") || table.Text(row, "id") != "latest" || !table.Has(row, "newest") {
		t.Errorf("it is %+v", e)
	}
	if group, want := table.Text(row, "group"), table.Text(row, "event")+"/carl"; group != want || !table.Has(row, "ttl") {
		t.Errorf("the group is %q, want %q", group, want)
	}
}
