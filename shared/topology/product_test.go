package topology

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// shop has a table of each kind.
var shop = Product{Name: "shop", Paths: []string{"/track/{order}"}, Tables: []Table{
	{Name: "orders", Key: "id", Stream: true, OldImages: true,
		Indexes: []Index{{Name: "byShop", Key: "shopId", Sort: "id"}}},
	{Name: "visits", Key: "shopId", Sort: "id", Stream: true, Events: []string{"INSERT"}},
	{Name: "customers", Key: "id"},
}}

func names(tables []Table) (names []string) {
	for _, t := range tables {
		names = append(names, t.Name)
	}
	return names
}

func TestOnlyWhoWorksWithRowsGetsTheProductsTables(t *testing.T) {
	t.Parallel()
	core := map[string][]string{}
	for _, f := range Functions() {
		core[f.Name] = names(f.Tables)
	}
	rows := []string{"orders", "visits", "customers"}
	for _, name := range []string{"message", "graphql", "sender"} {
		core[name] = append(core[name], rows...)
	}
	got := map[string][]string{}
	for _, f := range shop.Functions() {
		got[f.Name] = names(f.Tables)
		if diff := cmp.Diff(f, shop.Function(f.Name)); diff != "" {
			t.Errorf("%s by its name differs:\n%s", f.Name, diff)
		}
	}
	if diff := cmp.Diff(core, got); diff != "" {
		t.Errorf("tables differ (-want +got):\n%s", diff)
	}
}

func TestWhatFunctionsMayDoWithAProduct(t *testing.T) {
	t.Parallel()
	write := []string{"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query"}
	read := []string{"dynamodb:GetItem", "dynamodb:Query"}
	onTables := func(actions []string) []Permission {
		return []Permission{{OnTable, "orders", actions}, {OnIndex, "orders/byShop", []string{"dynamodb:Query"}},
			{OnTable, "visits", actions}, {OnTable, "customers", actions}}
	}
	want := map[string][]Permission{"message": onTables(write), "graphql": onTables(write), "sender": onTables(read),
		"stream": {{OnStream, "orders", readStream}, {OnStream, "visits", readStream}}}
	access, core := shop.Access(), Product{}.Access()
	for _, f := range Functions() {
		got := access[f.Name]
		if n := len(core[f.Name]); n == 0 || cmp.Diff(core[f.Name], got[:n]) != "" {
			t.Errorf("%s may do %v, of which the core is not the beginning", f.Name, got)
			continue
		}
		if diff := cmp.Diff(want[f.Name], got[len(core[f.Name]):], cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s may do otherwise (-want +got):\n%s", f.Name, diff)
		}
	}
}

func TestEachStreamHasItsMapping(t *testing.T) {
	t.Parallel()
	orders, visits := TableStream, TableStream
	orders.Table, orders.Events = shop.Tables[0], []string{"INSERT", "MODIFY", "REMOVE"}
	visits.Table, visits.Events = shop.Tables[1], []string{"INSERT"}
	if diff := cmp.Diff([]StreamMapping{orders, visits}, shop.StreamMappings()); diff != "" {
		t.Errorf("mappings differ (-want +got):\n%s", diff)
	}
}

func TestNamesOfAProduct(t *testing.T) {
	t.Parallel()
	if got := shop.Tables[0].Env(); got != "ORDERS_TABLE" {
		t.Errorf("the variable of orders is %s", got)
	}
	want := map[string]string{"connections": "TableConnections", "subscriptions": "TableSubscriptions",
		"operations": "TableOperations", "orders": "TableOrders", "visits": "TableVisits", "customers": "TableCustomers"}
	if diff := cmp.Diff(want, shop.TableOutputs()); diff != "" {
		t.Errorf("outputs differ (-want +got):\n%s", diff)
	}
	old := Product{Name: App.Default}
	for got, want := range map[string]string{shop.Stack("dev"): "subwire-shop-dev", shop.Stack(""): "subwire-shop",
		old.Stack("dev"): "subwire-dev", old.Stack(""): "subwire"} {
		if got != want {
			t.Errorf("a stack is called %s, want %s", got, want)
		}
	}
	if got := shop.HTTPRoutes(); !slices.Contains(got, "/track/{order}") || !slices.Contains(got, GraphQLPath) {
		t.Errorf("routes are %v", got)
	}
}
