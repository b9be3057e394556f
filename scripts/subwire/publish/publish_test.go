package publish

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
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

// Other languages write what docs/publishing.md says: its command, with its row in
// event.json, writes an event, and drops what is not newer.
func TestTheRowOfTheDocumentIsAnEvent(t *testing.T) {
	t.Parallel()
	d := start(t)
	document, err := os.ReadFile("../../../docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, byHand, _ := strings.Cut(string(document), "\n## A row by hand\n")
	in := documentedPut(t, block(t, byHand, "json"), block(t, byHand, "sh"))
	name := d.Tables[subwire.InboxTable]
	in.TableName = &name

	e := understood(t, in.Item)
	if e.Topic != "courier/carl" || e.Latest != table.Text(in.Item, "group") || table.Text(in.Item, "id") != "latest" {
		t.Errorf("it is %+v", e)
	}
	if got, want := table.Text(in.Item, "group"), table.Text(in.Item, "event")+"/carl"; got != want {
		t.Errorf("the group is %q, want %q", got, want)
	}
	var row struct {
		TTL int64 `dynamodbav:"ttl"`
	}
	if err := table.Decode(in.Item, &row); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(time.Unix(row.TTL, 0)); left <= 0 || left > time.Hour {
		t.Errorf("it is deleted in %s, want an hour", left)
	}

	db := dynamodb.NewFromConfig(d.AWS)
	if _, err := db.PutItem(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{table.Text(in.Item, "newest"): table.Text(in.Item, "data")}, published(t, d)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var dropped *types.ConditionalCheckFailedException
	if _, err := db.PutItem(t.Context(), in); !errors.As(err, &dropped) {
		t.Errorf("the same event again: %v, want a failed condition", err)
	}
}

// block returns the first code block of that language.
func block(t *testing.T, document, language string) string {
	t.Helper()
	_, rest, _ := strings.Cut(document, "\n```"+language+"\n")
	text, _, found := strings.Cut(rest, "\n```\n")
	if !found {
		t.Fatalf("docs/publishing.md has no row by hand as %s", language)
	}
	return text
}

// documentedPut returns what the command asks of DynamoDB, with the row in event.json.
// It runs in a shell whose aws prints its arguments.
func documentedPut(t *testing.T, row, command string) *dynamodb.PutItemInput {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", "aws() { printf '%s\\0' \"$@\"; }\n"+command)
	cmd.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "event.json"), []byte(row), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the document's command: %v", err)
	}
	args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(args) < 2 || args[0] != "dynamodb" || args[1] != "put-item" {
		t.Fatalf("the command is aws %q", args)
	}
	options := flag.NewFlagSet("put-item", flag.ContinueOnError)
	_ = options.String("table-name", "", "")
	item := options.String("item", "", "")
	condition := options.String("condition-expression", "", "")
	names := options.String("expression-attribute-names", "", "")
	values := options.String("expression-attribute-values", "", "")
	if err := options.Parse(args[2:]); err != nil {
		t.Fatal(err)
	}
	in := &dynamodb.PutItemInput{ConditionExpression: condition, Item: attributes(t, *item), ExpressionAttributeValues: attributes(t, *values)}
	if err := json.Unmarshal([]byte(*names), &in.ExpressionAttributeNames); err != nil {
		t.Fatal(err)
	}
	return in
}

// attributes reads DynamoDB's JSON.
func attributes(t *testing.T, text string) table.Row {
	t.Helper()
	var image map[string]events.DynamoDBAttributeValue
	if err := json.Unmarshal([]byte(text), &image); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	row, err := table.FromImage(image)
	if err != nil {
		t.Fatal(err)
	}
	return row
}
