package dynamo

import (
	"context"
	"crypto/rand"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/storetest"
	"subwire/shared/topology"
)

// endpointEnv names DynamoDB Local for the tests that need it.
const endpointEnv = "SUBWIRE_DYNAMODB"

func TestStoreOnDynamoDB(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.page = aws.Int32(7) // so that lists have many pages
	storetest.Run(t, s)
}

// localStore returns a store with its own tables on DynamoDB Local, or skips the test.
func localStore(t testing.TB) *Store {
	t.Helper()
	endpoint := os.Getenv(endpointEnv)
	if endpoint == "" {
		t.Skipf("needs DynamoDB Local: %s is not set", endpointEnv)
	}
	client, prefix := newClient(endpoint), rand.Text()[:12]+"-"
	products := map[string]string{}
	for _, table := range storetest.Tables() {
		products[table.Name] = prefix + table.Name
	}
	for _, table := range append(topology.Tables(), storetest.Tables()...) {
		createTable(t, client, table, prefix+table.Name)
	}
	return New(client, Tables{Connections: prefix + topology.Connections.Name,
		Subscriptions: prefix + topology.Subscriptions.Name,
		Operations:    prefix + topology.Operations.Name,
		Products:      products})
}

// createTable creates a table until the test ends.
func createTable(t testing.TB, client *dynamodb.Client, table topology.Table, name string) {
	t.Helper()
	for range 2 { // the second time it already exists
		if err := CreateTable(t.Context(), client, table, name); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &name})
		if err != nil {
			t.Logf("delete table: %v", err)
		}
	})
}

// newClient returns a client of a server on this machine. It does not retry: tests of
// what the SDK retries would be slow.
func newClient(endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}
