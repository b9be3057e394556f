package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
)

// Posts are refused, or applied without a success: what answers an operation, events and
// replays alike. No operation of the recommended client ends for
// good, and each client has every message. A third replay of a connection waits.
func TestRefusedPostsEndNobody(t *testing.T) {
	t.Parallel()
	needClients(t)
	c, err := startCloud(context.WithoutCancel(t.Context()), cloud.Config{Root: "../..", Output: &logs, Redelivery: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	for _, tc := range []struct {
		plan    string
		clients int
	}{{"post:429@0.05", 50}, {"post:429@0.3", 15}, {"post:500@0.3", 15}} {
		t.Run(tc.plan, func(t *testing.T) { // one after another: the gateway's faults are for all
			plan, err := plans.Parse(tc.plan)
			if err != nil {
				t.Fatal(err)
			}
			injector := plans.New(plan, 1)
			c.Gateway.SetFaults(injector.Gateway())
			crowd := startNode(t, "crowd.mjs", c.HTTPURL, c.WSURL, fresh("crowd"), fmt.Sprint(tc.clients))
			for line := ""; !strings.HasPrefix(line, `{"ended"`); {
				line = crowd.line(t)
				if strings.Contains(line, `"error"`) || strings.HasPrefix(line, `{"ended"`) && !strings.HasPrefix(line, `{"ended":0,`) {
					t.Error(line)
				}
			}
			if len(injector.Met()) == 0 {
				t.Error("no post was refused")
			}
		})
	}
}
