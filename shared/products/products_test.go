package products

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/topology"
)

// name is what can be part of physical names, of environment variables and of the keys of
// outputs.
var name = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

func TestEveryProductCanBeDeployed(t *testing.T) {
	t.Parallel()
	stacks := map[string]bool{}
	for _, make := range all {
		p := make().Product()
		if !name.MatchString(p.Name) || stacks[p.Stack("dev")] {
			t.Errorf("a product cannot be called %q", p.Name)
		}
		stacks[p.Stack("dev")] = true
		p.Inputs, p.CanaryEvery = subwire.TakesEvents(p), time.Minute
		for _, f := range p.Functions() { // "CreateFunction" of AWS Lambda: 64 characters
			if name := p.Stack(topology.Production) + "-" + f.Name; len(name) > 64 {
				t.Errorf("a function cannot be called %q", name)
			}
		}
		taken := map[string]bool{}
		for _, q := range p.Queues() { // an event source mapping has the name of its source
			taken[q.Name] = true
		}
		for _, table := range p.AllTables() {
			if taken[table.Name] || !name.MatchString(table.Name) {
				t.Errorf("%s: a table cannot be called %q", p.Name, table.Name)
			}
			taken[table.Name] = true
			if table.OldImages && !table.Stream {
				t.Errorf("%s: %s has old images of no stream", p.Name, table.Name)
			}
			for _, event := range table.Events {
				if !slices.Contains([]string{"INSERT", "MODIFY", "REMOVE"}, event) {
					t.Errorf("%s: no record of %s is called %q", p.Name, table.Name, event)
				}
			}
		}
	}
}

func TestAProductIsFoundByItsName(t *testing.T) {
	t.Parallel()
	if p, err := Named(Default()); err != nil || p.Name != Default() {
		t.Errorf("the default product is %q, %v", p.Name, err)
	}
	if _, err := Named("nothing"); err == nil || !strings.HasPrefix(err.Error(), "it must be one of "+Default()) {
		t.Errorf("an unknown product: %v", err)
	}
}

// What the canary posts reaches what it subscribes to, with a token of the claims that it
// says, and differs from one post to the next.
func TestEveryCanarySings(t *testing.T) {
	t.Parallel()
	for _, make := range all {
		app := make()
		if app.Canary.Post == "" {
			continue
		}
		t.Run(app.Name(), func(t *testing.T) {
			t.Parallel()
			claims := map[string]any{}
			for _, claim := range app.Canary.Claims {
				name, value, _ := strings.Cut(claim, "=")
				var parsed any = value
				_ = json.Unmarshal([]byte(value), &parsed) // or else it is a text
				claims[name] = parsed
			}
			client := subwiretest.Start(t, app).Connect("canary", claims)
			client.Subscribe("events", app.Canary.Subscribe, nil)
			client.Got("events") // perhaps the current state
			seen := map[string]bool{}
			for range 10_000 { // times are in milliseconds
				posted, got := value(t, client.Do(app.Canary.Post, nil)), client.Got("events")
				if len(got) != 1 || value(t, got[0]) != posted {
					t.Fatalf("%s was posted, and came as %v", posted, got)
				}
				if seen[posted] = true; len(seen) > 1 {
					return
				}
			}
			t.Errorf("every event is %v", seen)
		})
	}
}

// value is that of the one field of a result.
func value(t *testing.T, next string) string {
	t.Helper()
	var result struct{ Data map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(next, "next ")), &result); err != nil || len(result.Data) != 1 {
		t.Fatalf("the result is %s, %v", next, err)
	}
	for _, value := range result.Data {
		return string(value)
	}
	return ""
}
