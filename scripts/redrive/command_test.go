package main

import (
	"io"
	"strings"
	"testing"
	"unicode"

	"subwire/scripts/internal/deployment"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args string
		code int
		says string
	}{
		"Nothing":       {"", exitError, "say what to do"},
		"Unknown":       {"drop", exitError, `unknown command "drop"`},
		"Help":          {"send -help", exitDone, "-queue QUEUE"},
		"UnknownFlag":   {"list -yes", exitError, "not defined"},
		"Rest":          {"list please", exitError, `"please" is no flag`},
		"NoDeployment":  {"list", exitError, "Say -local or -stack NAME"},
		"BothOfThem":    {"list -local -stack a", exitError, "choose one"},
		"UnknownQueue":  {"show -queue retries", exitError, "these are: fanout-dead.fifo, retries-dead, stream-dead"},
		"NoQueue":       {"send -yes", exitError, "send -queue QUEUE, or send -all"},
		"QueueAndAll":   {"send -all -queue retries-dead", exitError, "send -queue QUEUE, or send -all"},
		"AllOfOneTopic": {"send -all -topic a", exitError, "neither -topic nor -max"},
		"NegativeMax":   {"send -queue retries-dead -max -1", exitError, "must not be negative"},
		"TinyRate":      {"send -queue retries-dead -rate 0.001", exitError, "at least 0.01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs strings.Builder
			if code := run(t.Context(), strings.Fields(tt.args), &out, &errs); code != tt.code || !strings.Contains(errs.String(), tt.says) {
				t.Errorf("got %d, %s", code, errs.String())
			}
		})
	}
}

// Topics and event ids hold what clients chose, and reasons may.
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
	for _, do := range []func() (int, error){
		func() (int, error) { return tool.list(t.Context(), options{}) },
		func() (int, error) { return tool.show(t.Context(), options{}) },
		func() (int, error) { return tool.show(t.Context(), options{json: true}) },
		func() (int, error) { return tool.send(t.Context(), options{queue: "retries-dead"}) },
	} {
		out.Reset()
		if _, err := do(); err != nil {
			t.Fatal(err)
		}
		isControl := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
		if strings.ContainsFunc(out.String(), isControl) || strings.Contains(out.String(), "\nfanout-dead.fifo\"") {
			t.Errorf("printed %q", out)
		}
	}
}

// Batches are planned for the groups of the deployment: another number would let
// what is sent again overtake, or be overtaken by, what is live.
func TestTheDeploymentsGroupsAreUsed(t *testing.T) {
	t.Parallel()
	tool := newTool(deployment.Deployment{FanoutGroups: 16}, io.Discard, io.Discard)
	if got := tool.packer.limits; got.Groups != 16 || got.Alone != topology.QueueMessageBytes {
		t.Errorf("limits are %+v", got)
	}
}
