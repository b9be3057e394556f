package topology

import (
	"slices"
	"strings"
	"testing"
	"time"

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
	for _, name := range []string{"message", "graphql", "stream", "sender"} {
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
		"stream": {{OnTable, "orders", read}, {OnIndex, "orders/byShop", []string{"dynamodb:Query"}},
			{OnStream, "orders", readStream}, {OnTable, "visits", read}, {OnStream, "visits", readStream},
			{OnTable, "customers", read}}}
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
	got := map[string]string{}
	for _, r := range shop.HTTPRoutes() {
		got[r.Key()] = r.Function.Name
	}
	if diff := cmp.Diff(map[string]string{"ANY /graphql": "graphql", "ANY /config.json": "graphql",
		"ANY /assets/{file}": "graphql", "ANY /track/{order}": "graphql", "GET /{page+}": "graphql"}, got); diff != "" {
		t.Errorf("routes differ (-want +got):\n%s", diff)
	}
}

// Whoever does not ask for the ways in has nothing of them.
func TestTheWaysInAreThereWhenAskedFor(t *testing.T) {
	t.Parallel()
	with := shop
	with.Inputs = true
	with.Tables = append(slices.Clone(shop.Tables), Table{Name: InboxTable, Key: "group", Sort: "id"})
	added := func(with, without int) bool { return with == without+1 }
	if !added(len(with.Functions()), len(shop.Functions())) || !added(len(with.HTTPRoutes()), len(shop.HTTPRoutes())) ||
		!added(len(with.QueueMappings()), len(shop.QueueMappings())) || len(with.Queues()) != len(shop.Queues())+2 ||
		len(with.QueueOutputs()) != len(shop.QueueOutputs())+2 {
		t.Error("one function, route and mapping, and two queues were to be added")
	}
	if got := with.Function(Publish.Name); len(got.Tables) != 1 || got.Tables[0].Name != InboxTable {
		t.Errorf("publish gets the tables %v", names(got.Tables))
	}
	if wait := time.Duration(Events.MaxReceives) * Events.Visibility; wait < time.Hour || wait > Events.Retention {
		t.Errorf("an event is given up after %s", wait)
	}
	if Events.Visibility < 6*Publish.Timeout || Events.FIFO {
		t.Error("the queue does not fit its function, or topics")
	}
	for _, r := range with.HTTPRoutes() {
		if r.IAM != (r.Function.Name == Publish.Name) {
			t.Errorf("%s needs a signature: %v", r.Key(), r.IAM)
		}
	}
	if Publish.Timeout >= 30*time.Second { // "Quotas for configuring and running an HTTP API in API Gateway"
		t.Error("publish may take longer than the gateway waits")
	}
}

// Only a product with presence has what it takes.
func TestPresence(t *testing.T) {
	t.Parallel()
	with := shop
	with.Presence = "present/"
	subscriptions := Subscriptions
	subscriptions.Stream, subscriptions.OldImages = true, true
	mapping := TableStream
	mapping.Table, mapping.Prefix, mapping.Events = subscriptions, "present/", []string{"INSERT", "MODIFY", "REMOVE"}
	if diff := cmp.Diff(append(shop.StreamMappings(), mapping), with.StreamMappings()); diff != "" {
		t.Errorf("mappings differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Table{Connections, subscriptions, Operations}, with.AllTables()[:3]); diff != "" {
		t.Errorf("tables differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Tables(), shop.AllTables()[:3]); diff != "" {
		t.Errorf("without it, tables differ (-want +got):\n%s", diff)
	}
	for _, f := range Functions() {
		more := slices.Clone(shop.Function(f.Name).Queues)
		if f.Name == Stream.Name {
			more = append(more, ConnectionChecks)
		}
		if diff := cmp.Diff(more, with.Function(f.Name).Queues, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("queues of %s differ (-want +got):\n%s", f.Name, diff)
		}
		allowed := map[string][]Permission{
			"disconnect": {{OnTable, "subscriptions", []string{"dynamodb:DeleteItem"}}},
			"stream":     {{OnStream, "subscriptions", readStream}, {OnQueue, "connection-checks", []string{"sqs:SendMessage"}}},
		}[f.Name]
		core := slices.Concat(coreAccess[f.Name], directAccess[f.Name])
		want := slices.Concat(core, allowed, shop.Access()[f.Name][len(core):])
		if diff := cmp.Diff(want, with.Access()[f.Name], cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s may do otherwise (-want +got):\n%s", f.Name, diff)
		}
	}
}

// Who writes rows may announce their events in a deployment that goes the fast way, and nobody
// else may more than before. One of a product that does not bear it does not.
func TestWhoWritesAnnouncesWhereADeploymentSaysSo(t *testing.T) {
	t.Parallel()
	settings := func(fast string) Values { return given(map[string]string{Fast.Env: fast, Direct.Env: "0"}) }
	may := shop
	may.MayFast, may.Inputs = true, true
	slow, err := may.With(settings(""))
	if err != nil || slow.Fast {
		t.Fatalf("by default it is %v, %v", slow.Fast, err)
	}
	if p, err := shop.With(settings("true")); err == nil || p.Fast {
		t.Errorf("a product that does not bear it: %v, %v", p.Fast, err)
	}
	if p, err := shop.With(settings("false")); err != nil || p.Fast {
		t.Errorf("a product that does not bear it: %v, %v", p.Fast, err)
	}
	if _, err := may.With(Values{}); err != nil { // of a function that does not get the setting
		t.Error(err)
	}
	fast, err := may.With(settings("true"))
	if err != nil || !fast.Fast {
		t.Fatalf("it is %v, %v", fast.Fast, err)
	}
	writers := map[string]bool{Message.Name: true, GraphQL.Name: true, Publish.Name: true}
	for _, f := range append(fast.Functions(), fast.Function(Host.Name)) {
		before := slow.Function(f.Name)
		writes := f.Name == Host.Name || writers[f.Name]
		if writes {
			before.Queues = append(slices.Clone(before.Queues), Fanout)
		}
		if diff := cmp.Diff(before.Queues, f.Queues, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("queues of %s (-want +got):\n%s", f.Name, diff)
		}
		if writes && !slices.Contains(names(f.Tables), Subscriptions.Name) {
			t.Errorf("%s has tables %v", f.Name, names(f.Tables))
		}
		more := map[bool][]Permission{true: {{OnTable, "subscriptions", []string{"dynamodb:Query", "dynamodb:BatchGetItem"}},
			{OnQueue, "fanout.fifo", []string{"sqs:SendMessage"}}}}[writers[f.Name]]
		got := slices.DeleteFunc(slices.Clone(fast.Access()[f.Name]), func(p Permission) bool {
			return slices.ContainsFunc(slow.Access()[f.Name], func(q Permission) bool { return cmp.Equal(p, q) })
		})
		if diff := cmp.Diff(more, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s may do otherwise (-want +got):\n%s", f.Name, diff)
		}
	}
	host := map[string]bool{}
	for _, p := range fast.HostAccess() {
		host[p.Name+" "+strings.Join(p.Actions, " ")] = true
	}
	if !host["fanout.fifo sqs:SendMessage"] {
		t.Errorf("the host may %v", host)
	}
}

// given are these settings, and the defaults of others.
func given(settings map[string]string) Values {
	v, _ := Read(Settings(), func(env string) string { return settings[env] })
	return v
}

// Where all events go by the queue, stream may nothing of what sender may, and is told nothing
// of it.
func TestWhatDeliversEventsFollowsTheSettings(t *testing.T) {
	t.Parallel()
	may := shop
	may.MayFast = true
	of := func(settings map[string]string) Product {
		p, err := may.With(given(settings))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	direct := of(nil)
	told := func(p Product) (all []string) {
		f := p.Function(Stream.Name)
		for _, s := range f.Settings() {
			all = append(all, s.Env)
		}
		for _, q := range f.Queues {
			all = append(all, q.Env)
		}
		for _, t := range f.Tables {
			all = append(all, t.Env())
		}
		if f.Callback {
			all = append(all, CallbackEnv)
		}
		slices.Sort(all)
		return all
	}
	if !slices.ContainsFunc(direct.Access()[Stream.Name], func(p Permission) bool { return p.On == OnSockets }) ||
		!slices.Contains(told(direct), HostKey.Env) || direct.QueueOnly {
		t.Errorf("by default stream is told %v, may %v", told(direct), direct.Access()[Stream.Name])
	}
	for _, settings := range []map[string]string{{Direct.Env: "0"}, {Fast.Env: "true"}, {Fast.Env: "true", Direct.Env: "0"}} {
		p := of(settings)
		if diff := cmp.Diff([]string{"APP", "CONNECTIONS_TABLE", "DIRECT", "FANOUT_GROUPS", "FANOUT_QUEUE", "FAST", "LARGE_TOPICS",
			"LOG_LEVEL", "MAX_COST_PER_MINUTE", "MAX_OPERATIONS_PER_TOPIC", "METRICS", "STREAM_DEAD_QUEUE",
			"SUBSCRIPTIONS_TABLE"}, told(p)); diff != "" {
			t.Errorf("with %v stream is told (-want +got):\n%s", settings, diff)
		}
		for _, a := range p.Access()[Stream.Name] {
			if a.On == OnSockets || a.On == OnIndex || a.On == OnTable && !slices.Contains([]string{"connections", "subscriptions"}, a.Name) ||
				slices.Contains(a.Actions, "dynamodb:DeleteItem") || slices.Contains(a.Actions, "dynamodb:UpdateItem") ||
				a.On == OnQueue && a.Name != Fanout.Name && a.Name != StreamDead.Name {
				t.Errorf("with %v stream may %v", settings, a)
			}
		}
		if p.Function(Stream.Name).Reserved != direct.Function(Stream.Name).Reserved {
			t.Errorf("with %v it reserves otherwise", settings)
		}
	}
	if p, err := may.With(Values{}); err != nil || p.QueueOnly { // of a function that does not get the setting
		t.Errorf("it is %v, %v", p.QueueOnly, err)
	}
}

// What delivers events is the same code in both: it may the same and gets the same settings.
func TestWhoDeliversMayWhatSenderMay(t *testing.T) {
	t.Parallel()
	may := map[string]bool{}
	for _, p := range shop.Access()[Stream.Name] {
		for _, action := range p.Actions {
			may[string(p.On)+" "+p.Name+" "+action] = true
		}
	}
	for _, p := range shop.Access()[Sender.Name] {
		for _, action := range p.Actions {
			if what := string(p.On) + " " + p.Name + " " + action; !may[what] && !slices.Contains(receive, action) {
				t.Errorf("stream may not: %s", what)
			}
		}
	}
	for _, s := range shop.Function(Sender.Name).Settings() {
		if !slices.Contains(shop.Function(Stream.Name).Settings(), s) {
			t.Errorf("stream does not get %s", s.Env)
		}
	}
}

// A stream's shards are read side by side, so with more streams more is read.
func TestEachStreamHasItsOwnConcurrency(t *testing.T) {
	t.Parallel()
	for _, p := range []Product{{}, shop, {Presence: "present/", Tables: shop.Tables}} {
		want := StreamShards * len(p.StreamMappings())
		if got := p.Function(Stream.Name).Reserved; got != want {
			t.Errorf("%d streams reserve %d, want %d", len(p.StreamMappings()), got, want)
		}
	}
}
