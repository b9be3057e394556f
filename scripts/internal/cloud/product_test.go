package cloud

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

// shop has a table of each kind.
var shop = topology.Product{Name: "shop", Tables: []topology.Table{
	{Name: "orders", Key: "id", Stream: true, OldImages: true, Indexes: []topology.Index{{Name: "byShop", Key: "shopId", Sort: "id"}}},
	{Name: "visits", Key: "shopId", Sort: "id", Stream: true, Events: []string{"INSERT"}},
	{Name: "customers", Key: "id"},
}}

// said gets what the functions print, a line at a time.
type said chan string

func (s said) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if text, ours := bytes.CutPrefix(bytes.TrimSpace(line), []byte("stream: ")); ours {
			s <- string(text)
		}
	}
	return len(p), nil
}

// startShop starts a cloud whose functions only say what they get.
func startShop(t *testing.T) (*Cloud, said) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	root, lines := t.TempDir(), make(said, 100)
	binary := filepath.Join(root, "bootstrap")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/rows").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, f := range topology.Functions() {
		folder := filepath.Join(root, "bin", "local", f.Name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(binary, filepath.Join(folder, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := filepath.Abs("../../../.cache")
	if err == nil {
		err = os.Symlink(cache, filepath.Join(root, ".cache"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), Config{Root: root, App: shop, Output: lines, Data: filepath.Join(root, "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c, lines
}

func item(pairs ...string) map[string]types.AttributeValue {
	row := map[string]types.AttributeValue{}
	for pair := range slices.Chunk(pairs, 2) {
		row[pair[0]] = &types.AttributeValueMemberS{Value: pair[1]}
	}
	return row
}

// Every streamed table has its own mapping, which moves what the table says.
func TestTheCloudOfAnotherProduct(t *testing.T) {
	t.Parallel()
	c, lines := startShop(t)
	client := dynamodb.NewFromConfig(c.Backend.AWS())
	views := map[string]types.StreamViewType{}
	for _, table := range shop.Tables {
		out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("subwire-shop-" + table.Name)})
		if err != nil {
			t.Fatal(err)
		}
		if stream := out.Table.StreamSpecification; stream != nil {
			views[table.Name] = stream.StreamViewType
		}
	}
	if diff := cmp.Diff(map[string]types.StreamViewType{"orders": types.StreamViewTypeNewAndOldImages, "visits": types.StreamViewTypeNewImage}, views); diff != "" {
		t.Errorf("streams differ (-want +got):\n%s", diff)
	}

	put := func(table string, pairs ...string) error {
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(c.Tables[table]), Item: item(pairs...)})
		return err
	}
	remove := func(table string, pairs ...string) error {
		_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(c.Tables[table]), Key: item(pairs...)})
		return err
	}
	for _, err := range []error{put("customers", "id", "c"), put("orders", "id", "o", "shopId", "s"),
		put("orders", "id", "o", "shopId", "s", "state", "paid"), remove("orders", "id", "o"),
		put("visits", "shopId", "s", "id", "1"), remove("visits", "shopId", "s", "id", "1"), put("visits", "shopId", "s", "id", "2")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := map[string][]string{}
	for len(got["subwire-shop-orders"]) < 3 || len(got["subwire-shop-visits"]) < 2 {
		select {
		case line := <-lines:
			table, change, _ := strings.Cut(line, " ")
			got[table] = append(got[table], change)
		case <-time.After(time.Minute):
			t.Fatalf("the stream function got only %v", got)
		}
	}
	want := map[string][]string{"subwire-shop-orders": {"INSERT 0 2", "MODIFY 2 3", "REMOVE 3 0"}, "subwire-shop-visits": {"INSERT 0 2", "INSERT 0 2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stream function got (-want +got):\n%s", diff)
	}

	out, err := client.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String(c.Tables["orders"]), IndexName: aws.String("byShop"),
		KeyConditionExpression: aws.String("shopId = :shop"), ExpressionAttributeValues: map[string]types.AttributeValue{":shop": &types.AttributeValueMemberS{Value: "s"}}})
	if err != nil || out.Count != 0 {
		t.Errorf("the index has %v, %v", out, err)
	}
	for _, file := range []string{"subwire-shop-orders-shards.json", "subwire-shop-visits-shards.json"} {
		if _, err := os.Stat(filepath.Join(c.cfg.Data, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatTheFunctionsOfAProductAreTold(t *testing.T) {
	t.Parallel()
	c := &Cloud{cfg: Config{App: shop}, Tables: map[string]string{"orders": "the-orders"}}
	for name, told := range map[string]bool{"connect": false, "message": true, "disconnect": false, "graphql": true, "stream": true, "sender": true} {
		env := c.environ(shop.Function(name), "")
		knows := name != "connect" && name != "disconnect"
		if slices.Contains(env, "APP=shop") != knows || slices.Contains(env, "ORDERS_TABLE=the-orders") != told {
			t.Errorf("%s is told %v", name, env)
		}
	}
}
