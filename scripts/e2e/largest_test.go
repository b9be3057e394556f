package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/apigw"
	"subwire/shared/chat"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// largest is a connection that its client has made as large as the protocol allows: no
// further operation begins, and completes without an operation wait for their subscribes.
type largest struct {
	*wsclient.Raw
	id    string
	chats []string
}

func makeLargest(t *testing.T) largest {
	t.Helper()
	c := largest{Raw: dialRaw(t, local.WSURL)}
	send(t, c.Raw, fmt.Sprintf(`{"type":"connection_init","payload":{"name":%q}}`, t.Name()))
	receive(t, c.Raw)
	c.id = connectionID(t, t.Name())
	const operations = 45
	var err error
	if c.chats, err = c.BeginLong(within(t), t.Name(), operations); err != nil {
		t.Fatal(err)
	}
	room := pubsub.RoomForOperations(100) / pubsub.OperationBytes(strings.Repeat("s", 128), chat.Topic(c.chats[0]))
	await(t, "all subscriptions that there is room for", func() bool { return c.subscribers(t) == room })
	for range operations - room {
		if frame := receive(t, c.Raw); !strings.Contains(frame, pubsub.CodeTooMany) {
			t.Fatalf("received %s", frame)
		}
	}
	held := pubsub.RoomForOperations(100)
	if onHost { // a row has no topics
		held = room * pubsub.OperationBytes(strings.Repeat("s", 128), "")
	}
	completed := 0
	await(t, "what is remembered", func() bool {
		stored, err := store.Connection(t.Context(), c.id)
		if err == nil && stored.Bytes > held+4<<10 {
			return true
		}
		if completed < 100 { // a busy machine may forget some: they are in each other's way
			if err := c.CompleteLong(within(t), completed, 5); err != nil {
				t.Fatal(err)
			}
			completed += 5
		}
		return false
	})
	if onHost { // which handles messages in order: all before the pong have been
		send(t, c.Raw, `{"type":"ping"}`)
		receive(t, c.Raw)
	}
	return c
}

// subscribers counts the stored subscriptions of the connection's chats.
func (c largest) subscribers(t *testing.T) (n int) {
	t.Helper()
	for _, chatID := range c.chats {
		n += subscribers(t, chatID)
	}
	return n
}

func (c largest) isStored(t *testing.T) bool {
	t.Helper()
	table := local.Tables["connections"]
	out, err := dynamodb.NewFromConfig(local.Backend.AWS()).GetItem(within(t), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: c.id}}})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Item) > 0 || c.subscribers(t) > 0
}

// gateway reaches the sockets of this run.
func gateway() pubsub.Gateway {
	cfg := local.Backend.AWS()
	cfg.HTTPClient = nil // as functions have it, which post without the SDK
	if !onHost {
		return apigw.New(cfg, "http"+strings.TrimPrefix(local.WSURL, "ws"), 1)
	}
	cfg.Region, cfg.Credentials = node.Region, credentials.NewStaticCredentialsProvider(node.AccessKey, local.Hosts.Key, "")
	return apigw.NewHashed(cfg, local.Hosts.URL, 1)
}

// As subwire connections close does it.
func TestTheLargestConnectionIsRevokedAtOnce(t *testing.T) {
	t.Parallel()
	c := makeLargest(t)
	own := subscribers(t, c.chats[0]) // ten, unless one was handled late and there was no room
	witness := subscribe(t, dial(t), `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`, c.chats[0])
	await(t, "witness", func() bool { return subscribers(t, c.chats[0]) == own+1 })
	if err := store.DeleteConnection(within(t), c.id); err != nil {
		t.Fatal(err)
	}
	if !onHost { // until it is closed, a host still has in memory what the socket subscribes to
		post(t, c.chats[0], "after the end")
		next(t, witness)
	}
	if err := socket.Close(within(t), gateway(), c.id, transportws.ConnectionRevoked()); err != nil {
		t.Fatal(err)
	}
	if frame := receive(t, c.Raw); !strings.Contains(frame, "4401 Connection revoked") {
		t.Errorf("received %s", frame)
	}
	if frame, err := c.Next(within(t)); err == nil {
		t.Errorf("received %s", frame)
	}
	for _, chatID := range c.chats[1:] {
		if n := subscribers(t, chatID); n > 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	}
	if _, err := store.Connection(t.Context(), c.id); !errors.Is(err, pubsub.ErrGone) {
		t.Errorf("the connection is there, %v", err)
	}
}

func TestTheLargestConnectionIsDeletedWhenItCloses(t *testing.T) {
	t.Parallel()
	c := makeLargest(t)
	if !c.isStored(t) {
		t.Fatal("nothing is stored")
	}
	c.Close(1000, "")
	await(t, "end of all that is stored", func() bool { return !c.isStored(t) })
}
