package products

import (
	"regexp"
	"slices"
	"strings"
	"testing"

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
		for _, f := range p.Functions() { // "CreateFunction" of AWS Lambda: 64 characters
			if name := p.Stack(topology.Production) + "-" + f.Name; len(name) > 64 {
				t.Errorf("a function cannot be called %q", name)
			}
		}
		taken := map[string]bool{}
		for _, q := range topology.Queues() { // an event source mapping has the name of its source
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
	if p, err := Named(topology.App.Default); err != nil || p.Name != topology.App.Default {
		t.Errorf("the default product is %q, %v", p.Name, err)
	}
	if _, err := Named("nothing"); err == nil || !strings.HasPrefix(err.Error(), "it must be one of chat, ") {
		t.Errorf("an unknown product: %v", err)
	}
}
