package doctor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/deployment"
	"subwire/shared/canary"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// running is a deployment of the chat.
func running() deployment.Deployment {
	d := deployment.Deployment{App: chattest.Product, Tables: map[string]string{}, Queues: map[string]string{}}
	for _, t := range d.App.AllTables() {
		d.Tables[t.Name] = "subwire-dev-" + t.Name
	}
	for _, q := range d.App.Queues() {
		d.Queues[q.Name] = "https://sqs/" + q.Name
	}
	return d
}

// well is a deployment in which everything is as it should be.
func well() cloudAPI {
	return cloudAPI{
		table: func(_ context.Context, name string) (tableState, error) {
			for _, t := range chattest.Product.AllTables() {
				if name != "subwire-dev-"+t.Name {
					continue
				}
				is := tableState{status: "ACTIVE", ttl: t.TTL}
				if t.Stream {
					is.view, is.stream = "NEW_IMAGE", "stream of "+name
				}
				if t.OldImages {
					is.view = "NEW_AND_OLD_IMAGES"
				}
				return is, nil
			}
			return tableState{}, errors.New("no such table")
		},
		queue:    func(_ context.Context, url string) (string, int, error) { return "arn of " + url, 0, nil },
		mappings: func(context.Context, string) ([]mappingState, error) { return []mappingState{{"Enabled", "OK"}}, nil },
		function: func(context.Context, string) (functionState, error) {
			return functionState{"Active", "Successful", "2026-11-28"}, nil
		},
		alarms: func(context.Context, string) (int, []string, error) { return 30, nil, nil },
		try: func(context.Context) (canary.Times, error) {
			return canary.Times{Connect: time.Millisecond, Event: 3 * time.Millisecond}, nil
		},
	}
}

func TestWhatIsWrongWithADeployment(t *testing.T) {
	t.Parallel()
	table := func(change func(name string, is *tableState)) func(*cloudAPI) {
		return func(c *cloudAPI) {
			asIs := c.table
			c.table = func(ctx context.Context, name string) (tableState, error) {
				is, err := asIs(ctx, name)
				change(strings.TrimPrefix(name, "subwire-dev-"), &is)
				return is, err
			}
		}
	}
	mapping := func(source string, found []mappingState, err error) func(*cloudAPI) {
		return func(c *cloudAPI) {
			c.mappings = func(_ context.Context, arn string) ([]mappingState, error) {
				if arn == source {
					return found, err
				}
				return []mappingState{{"Enabled", ""}}, nil
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(*cloudAPI)
		want   string // a line; "" for nothing but ok
	}{
		"nothing": {nil, ""},
		"rows stay": {table(func(name string, is *tableState) {
			if name == "connections" {
				is.ttl = ""
			}
		}), `error table connections: its rows expire by "", and should by "ttl"`},
		"a stream is off": {table(func(name string, is *tableState) {
			if name == "messages" {
				is.view, is.stream = "", ""
			}
		}), `error table messages: its stream shows "", and should show "NEW_IMAGE"`},
		"a stream shows too little": {table(func(name string, is *tableState) {
			if name == "subscriptions" {
				is.view = "NEW_IMAGE"
			}
		}), `error table subscriptions: its stream shows "NEW_IMAGE", and should show "NEW_AND_OLD_IMAGES"`},
		"a table is gone": {table(func(name string, is *tableState) {
			if name == "operations" {
				is.status = "DELETING"
			}
		}), "error table operations: it is DELETING"},
		"dead letters": {func(c *cloudAPI) {
			c.queue = func(_ context.Context, url string) (string, int, error) {
				return "arn", map[bool]int{true: 3}[strings.HasSuffix(url, "/retries-dead")], nil
			}
		}, "error queue retries-dead: it has dead letters: 3"},
		"work to do": {func(c *cloudAPI) {
			c.queue = func(_ context.Context, url string) (string, int, error) {
				return "arn", map[bool]int{true: 3}[strings.HasSuffix(url, "/retries")], nil
			}
		}, ""},
		"a mapping is off":      {mapping("stream of subwire-dev-messages", []mappingState{{"Disabled", ""}}, nil), "error mapping of stream of messages: it is Disabled"},
		"a mapping is gone":     {mapping("arn of https://sqs/fanout.fifo", nil, nil), "error mapping of queue fanout.fifo: nothing reads it"},
		"a mapping fails":       {mapping("stream of subwire-dev-messages", []mappingState{{"Enabled", "PROBLEM: Function call failed"}}, nil), "error mapping of stream of messages: PROBLEM: Function call failed"},
		"a mapping is not told": {mapping("stream of subwire-dev-reads", nil, errForbidden), "warning mapping of stream of reads: not known"},
		"a function is broken": {func(c *cloudAPI) {
			c.function = func(_ context.Context, name string) (functionState, error) {
				update := map[bool]string{true: "Failed", false: "Successful"}[name == "subwire-dev-sender"]
				return functionState{"Active", update, ""}, nil
			}
		}, "error function sender: it is Active, and its last update Failed"},
		"an alarm": {func(c *cloudAPI) {
			c.alarms = func(_ context.Context, prefix string) (int, []string, error) {
				return 30, []string{prefix + "queue-retries-dead"}, nil
			}
		}, "error alarms: subwire-dev-queue-retries-dead; each one's description names"},
		"no alarms": {func(c *cloudAPI) {
			c.alarms = func(context.Context, string) (int, []string, error) { return 0, nil, nil }
		}, "warning alarms: there are none"},
		"no event": {func(c *cloudAPI) {
			c.try = func(context.Context) (canary.Times, error) { return canary.Times{}, errForbidden }
		}, "error canary: AccessDenied"},
		"no canary": {func(c *cloudAPI) { c.try = nil }, "warning canary: product chat has none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := well()
			if tc.change != nil {
				tc.change(&c)
			}
			var bad []result
			for _, check := range examine(t.Context(), running(), c) {
				for _, r := range check() {
					if r.State != ok {
						bad = append(bad, r)
					}
				}
			}
			if got := lines(bad); !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") || len(bad) > 1 {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// Every source of the product has a mapping that is looked at.
func TestEverySourceIsLookedAt(t *testing.T) {
	t.Parallel()
	c, asked := well(), map[string]bool{}
	c.mappings = func(_ context.Context, arn string) ([]mappingState, error) {
		asked[arn] = true
		return []mappingState{{"Enabled", ""}}, nil
	}
	for _, check := range examine(t.Context(), running(), c) {
		check()
	}
	if want := len(chattest.Product.StreamMappings()) + len(topology.QueueMappings()); len(asked) != want {
		t.Errorf("asked for %v, want %d", asked, want)
	}
}

func TestTheReport(t *testing.T) {
	t.Parallel()
	checks := []func() []result{
		func() []result { return []result{fine("a", "all\x1b[2J is well"), doubt("b", "who knows")} },
		func() []result { return []result{fault("c", "mend it")} },
	}
	var text, json strings.Builder
	err, quiet := report(&text, false, checks...), report(&json, true, checks[0])
	if err == nil || err.Error() != "1 of 3 checks found an error" || quiet != nil {
		t.Errorf("got %v and %v", err, quiet)
	}
	if want := "ok       a: all\\u001b[2J is well\nwarning  b: who knows\nerror    c: mend it\n"; text.String() != want {
		t.Errorf("got  %q\nwant %q", text.String(), want)
	}
	if want := `{"check":"b","state":"warning","says":"who knows"}` + "\n"; !strings.HasSuffix(json.String(), want) {
		t.Errorf("got %s", json.String())
	}
}
