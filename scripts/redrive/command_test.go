package main

import (
	"io"
	"strings"
	"testing"

	"subwire/scripts/internal/deployment"
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

// Batches are planned for the groups of the deployment: another number would let
// what is sent again overtake, or be overtaken by, what is live.
func TestTheDeploymentsGroupsAreUsed(t *testing.T) {
	t.Parallel()
	tool := newTool(deployment.Deployment{FanoutGroups: 16}, io.Discard, io.Discard)
	if got := tool.packer.limits; got.Groups != 16 || got.Alone != topology.QueueMessageBytes {
		t.Errorf("limits are %+v", got)
	}
}
