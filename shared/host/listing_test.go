package host_test

import (
	"crypto/rand"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/allowance"
	"subwire/shared/dynamo"
	"subwire/shared/host"
	"subwire/shared/memory"
	"subwire/shared/node"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// Names under which storetest.Store's parts can be embedded together.
type (
	subscriptions interface{ pubsub.Store }
	rows          interface{ table.Store }
	allowances    interface{ allowance.Store }
)

// whole is a store for storetest: a listing and, for what that does not have, the store
// below it.
type whole struct {
	subscriptions
	rows
	allowances
	allowance.AudienceStore
	pacing.Line
	pubsub.MarkStore
	pubsub.MarkingStore
}

func self(boot string) node.Address { return node.Address{HostPort: "10.0.0.1:80", Boot: boot} }

// What a listing does not pass: it puts nodes' rows into the shared store, where marks are,
// too, and shows only what its own sockets subscribe to.
const (
	rowsOfNodes = "Listen"
	marks       = "Marks"
)

// What a node keeps of its sockets is a store like any other.
func TestAListingIsAStore(t *testing.T) {
	s := memory.New()
	t.Cleanup(func() {
		if rows := s.Contents().Subscriptions; !t.Failed() {
			for _, row := range rows {
				if !pubsub.IsPresence(row.Topic) {
					t.Errorf("in the shared store there is a row of %s", row.ConnectionID)
				}
			}
		}
	})
	l := whole{host.NewListing(s, self("a").Node()), s, s, s, s, s, s}
	storetest.Run(t, l, rowsOfNodes, marks)
	storetest.Turns(t, l, 4)
}

func TestAListingOverDynamoDBIsAStore(t *testing.T) {
	t.Parallel()
	endpoint := os.Getenv("SUBWIRE_DYNAMODB")
	if endpoint == "" {
		t.Skip("needs DynamoDB Local: SUBWIRE_DYNAMODB is not set")
	}
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &endpoint, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")})
	prefix, products := rand.Text()[:12]+"-", map[string]string{}
	for _, one := range append(topology.Tables(), storetest.Tables()...) {
		if err := dynamo.CreateTable(t.Context(), client, one, prefix+one.Name); err != nil {
			t.Fatal(err)
		}
		products[one.Name] = prefix + one.Name
	}
	s := dynamo.New(client, dynamo.Tables{Connections: products["connections"],
		Subscriptions: products["subscriptions"], Operations: products["operations"], Products: products})
	storetest.Run(t, whole{host.NewListing(s, self("a").Node()), s, s, s, s, s, s}, rowsOfNodes, marks)
}
