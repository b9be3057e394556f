package dead

import (
	"io"
	"strings"
	"testing"
	"unicode"

	"subwire/scripts/internal/deployment"
	"subwire/shared/chat/chattest"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Topics and event ids contain what clients chose, and reasons may.
func TestNothingThatAClientChoseReachesTheTerminal(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\u009b31m\u202e\r\nfanout-dead.fifo"
	f := newFake()
	b := fanout.Batch{Event: pubsub.Event{ID: evil, Topic: "newMessage/" + evil, Root: []byte(`{}`)},
		Tasks: []fanout.Task{{Operation: "k", Targets: []fanout.Target{{ConnectionID: "a", OperationID: evil}}}}}
	f.park(t, "retries-dead", b)
	f.put("retries-dead", held{body: `{"` + evil, reason: evil})
	f.put("stream-dead", held{body: `{"requestContext":{"condition":"x"},"DDBStreamBatchInfo":{"shardId":"s","startSequenceNumber":"\u001b","endSequenceNumber":"\u009b","streamArn":"a"}}`})
	tool, out := newTestTool(f, connected())
	for _, do := range []func() error{
		func() error { return tool.list(t.Context(), options{}) },
		func() error { return tool.list(t.Context(), options{json: true}) },
		func() error { return tool.show(t.Context(), options{}) },
		func() error { return tool.show(t.Context(), options{json: true}) },
		func() error { return tool.send(t.Context(), options{queue: "retries-dead"}) },
	} {
		out.Reset()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		isControl := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
		if strings.ContainsFunc(out.String(), isControl) || strings.Contains(out.String(), "\nfanout-dead.fifo\"") {
			t.Errorf("printed %q", out)
		}
	}
}

// Batches are planned for the deployment's number of groups. With another number,
// redriven batches could overtake live ones, or be overtaken by them.
func TestTheDeploymentsGroupsAreUsed(t *testing.T) {
	t.Parallel()
	tool, err := newTool(deployment.Deployment{App: chattest.Product, FanoutGroups: 16}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := tool.packer.limits; got.Groups != 16 || got.Alone != topology.QueueMessageBytes {
		t.Errorf("limits are %+v", got)
	}
}
