package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/shop"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// The shop on the whole pipeline: what is in the data decides who may see what, filters
// choose, subscriptions come to an end, and events come from outside.

// shopping is a fourth cloud, of the shop. The first test that needs it starts it.
var shopping = sync.OnceValues(func() (*cloud.Cloud, error) {
	isShopping.Store(true)
	c, err := startShop(cloud.Config{})
	if err == nil {
		c.Gateway.SetFaults(shopFaults)
	}
	return c, err
})

var (
	isShopping atomic.Bool  // whether shopping was started
	shopLogs   lockedBuffer // what the shop's functions print
)

// shopFaults answer 429 to one in a hundred posts to connections that ask for it:
// {"type":"connection_init","payload":{"throttled":true}}.
var (
	shopFaults = apigwemu.Faults{
		Message: func(_ context.Context, connectionID, body string) {
			if strings.Contains(body, `"throttled":true`) {
				throttled.Store(connectionID, true)
			}
		},
		Post: func(_ context.Context, connectionID string) (status int, sent bool) {
			if _, ok := throttled.Load(connectionID); !ok || rand.N(100) > 0 {
				return 0, false
			}
			refusals.Add(1)
			return http.StatusTooManyRequests, false
		},
	}
	throttled sync.Map     // connections
	refusals  atomic.Int64 // their posts that were answered 429
)

func startShop(cfg cloud.Config) (*cloud.Cloud, error) {
	app, err := products.Named("shop")
	if err != nil {
		return nil, err
	}
	cfg.Root, cfg.Output, cfg.App, cfg.Tokens = "../..", io.MultiWriter(&logs, &shopLogs), app, true
	cfg.Settings = map[string]string{topology.InitTimeout.Env: "5m"}
	return startCloud(context.Background(), cfg)
}

// market is a cloud of the shop, with the product on its tables, as a back end has it.
type market struct {
	*testing.T
	cloud     *cloud.Cloud
	shop      shop.Shop
	throttled bool // who enters from now on
}

func marketIn(t *testing.T, c *cloud.Cloud, err error) market {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m := market{T: t, cloud: c, shop: shop.New()}
	m.shop.MustOpen(subwire.Env{Tables: dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Products: c.Tables})})
	return m
}

// enter connects a viewer who works for the shops.
func (m market) enter(viewer string, shops ...string) *person {
	m.Helper()
	return enter(m.T, m.cloud, issuer.Claims{Viewer: viewer, More: map[string]any{"shops": shops}}, map[string]any{"throttled": m.throttled})
}

// place lets the viewer order from the shop for 12.5, and returns the order's id.
func (m market) place(p *person, shopID string) string {
	m.Helper()
	return m.placeFor(p, shopID, 12.5)
}

func (m market) placeFor(p *person, shopID string, total float64) string {
	m.Helper()
	answer := p.overHTTP(m.T, wsclient.Operation{Query: `mutation ($shop: ID!, $total: Float!) { placeOrder(shopId: $shop, total: $total) { id } }`,
		Variables: map[string]any{"shop": shopID, "total": total}})
	var placed struct {
		Data struct{ PlaceOrder struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(answer), &placed); err != nil || placed.Data.PlaceOrder.ID == "" {
		m.Fatalf("placed: %s, %v", answer, err)
	}
	return placed.Data.PlaceOrder.ID
}

func (m market) set(p *person, orderID, status, courier string) (answer string) {
	m.Helper()
	return p.overHTTP(m.T, wsclient.Operation{
		Query:     `mutation ($id: ID!, $s: OrderStatus!, $c: ID) { setOrderStatus(orderId: $id, status: $s, courierId: $c) { id } }`,
		Variables: map[string]any{"id": orderID, "s": status, "c": courier}})
}

func (m market) subscribe(p *person, query string, variables map[string]any) *wsclient.Subscription {
	m.Helper()
	s, err := p.client.Subscribe(within(m.T), wsclient.Operation{Query: query, Variables: variables})
	if err != nil {
		m.Fatal(err)
	}
	return s
}

// rows counts the subscriptions of the topic.
func rows(t *testing.T, c *cloud.Cloud, topic string) int { return listening(t, c, topic) }

func (m market) awaitRows(topic string, n int) {
	m.Helper()
	await(m.T, fmt.Sprintf("%d rows of %s", n, topic), func() bool { return rows(m.T, m.cloud, topic) == n })
}

// expect reads the results, which are JSON without {"data": }.
func (m market) expect(s *wsclient.Subscription, results ...string) {
	m.Helper()
	for _, want := range results {
		if diff := cmp.Diff(`{"data":`+want+`}`, next(m.T, s)); diff != "" {
			m.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// expectAfter is expect, after any number of the earlier result.
func (m market) expectAfter(s *wsclient.Subscription, earlier string, results ...string) {
	m.Helper()
	got := next(m.T, s)
	for got == `{"data":`+earlier+`}` {
		got = next(m.T, s)
	}
	if diff := cmp.Diff(`{"data":`+results[0]+`}`, got); diff != "" {
		m.Fatalf("(-want +got):\n%s", diff)
	}
	m.expect(s, results[1:]...)
}

// rest reads the results until the server completes the subscription.
func (m market) rest(s *wsclient.Subscription) (all []string) {
	m.Helper()
	for {
		result, err := s.Next(within(m.T))
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			m.Fatalf("%v\nfunctions' logs:\n%s", err, logs.String())
		}
		all = append(all, string(result))
	}
}

// expectEnd checks that the server completes the subscription and sends nothing after it.
func (m market) expectEnd(p *person, s *wsclient.Subscription) {
	m.Helper()
	if result, err := s.Next(within(m.T)); !errors.Is(err, io.EOF) {
		m.Fatalf("%s: got %s, %v; want complete", p.name, result, err)
	}
	if _, err := p.client.Query(within(m.T), wsclient.Operation{Query: `{ __typename }`}); err != nil {
		m.Fatal(err)
	}
	if n := p.client.Unknown(); n != 0 {
		m.Errorf("%s: %d messages came after complete", p.name, n)
	}
}

const (
	followOrder = `subscription ($id: ID!) { orderChanged(orderId: $id) { status } }`
	followShop  = `subscription ($shop: ID!) { ordersOfShop(shopId: $shop) { id status } }`
)

func TestAnOrderIsFollowedUntilItIsOver(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	shopID := fresh("shop")
	ada, owner, eve := m.enter("ada"), m.enter("owner", shopID), m.enter("eve", "another")
	all := m.subscribe(owner, followShop, map[string]any{"shop": shopID})
	m.awaitRows("shop/"+shopID, 1)
	id := m.place(ada, shopID)
	order := map[string]any{"id": id}
	status := func(name string) string { return `{"orderChanged":{"status":"` + name + `"}}` }
	mine, one := m.subscribe(ada, followOrder, order), m.subscribe(owner, followOrder, order)
	for _, s := range []*wsclient.Subscription{mine, one} { // the state comes without a change
		m.expect(s, status("PLACED"))
	}
	for _, op := range []wsclient.Operation{{Query: followOrder, Variables: order}, {Query: followShop, Variables: map[string]any{"shop": shopID}}} {
		if got := eve.overSocket(t, op); !strings.Contains(got, "FORBIDDEN") {
			t.Errorf("eve got %s", got)
		}
	}
	if got := m.set(eve, id, "CANCELLED", ""); !strings.Contains(got, "FORBIDDEN") {
		t.Errorf("eve cancels the order: %s", got)
	}
	m.awaitRows("order/"+id, 2)
	var statuses []string
	for _, name := range []string{"ACCEPTED", "ON_ITS_WAY", "DELIVERED"} {
		if got := m.set(owner, id, name, "carl"); strings.Contains(got, "errors") {
			t.Fatal(got)
		}
		statuses = append(statuses, status(name))
	}
	for _, s := range []*wsclient.Subscription{mine, one} {
		m.expectAfter(s, status("PLACED"), statuses...) // the event from just before may come, too
	}
	m.expectEnd(ada, mine)
	m.expectEnd(owner, one)
	for _, name := range []string{"PLACED", "ACCEPTED", "ON_ITS_WAY", "DELIVERED"} {
		m.expect(all, `{"ordersOfShop":{"id":"`+id+`","status":"`+name+`"}}`)
	}
	m.awaitRows("order/"+id, 0)
	late := m.subscribe(ada, followOrder, order)
	m.expect(late, status("DELIVERED"))
	m.expectEnd(ada, late)
	m.awaitRows("order/"+id, 0)
	owner.client.Close()
	m.awaitRows("shop/"+shopID, 0)
}

func TestPositionsArePublishedFromOutside(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	courier := fresh("courier")
	s := m.subscribe(m.enter("ada"), `subscription ($id: ID!) { courierMoved(courierId: $id) { latitude } }`, map[string]any{"id": courier})
	m.awaitRows("courier/"+courier, 1)
	for i := range 5 {
		for range 2 { // the second is dropped
			p := shop.Position{CourierID: courier, Latitude: float64(i)}
			if err := m.shop.Publish(within(t), "courierMoved", fmt.Sprint(i), p); err != nil {
				t.Fatal(err)
			}
		}
		m.expect(s, fmt.Sprintf(`{"courierMoved":{"latitude":%d}}`, i))
	}
}

// What is set at the same time is applied once each or refused. Couriers tell who did it.
func TestChangesAtOnceAreAppliedOnceOrRefused(t *testing.T) {
	t.Parallel()
	const writers = 20
	c, err := shopping()
	m := marketIn(t, c, err)
	shopID := fresh("shop")
	owner := m.enter("owner", shopID)
	id := m.place(owner, shopID)
	s := m.subscribe(owner, `subscription ($id: ID!) { orderChanged(orderId: $id) { courierId } }`, map[string]any{"id": id})
	courier := func(name string) string { return `{"orderChanged":{"courierId":` + name + `}}` }
	m.expect(s, courier("null"))
	m.awaitRows("order/"+id, 1)
	var answers [writers]string
	var writing sync.WaitGroup
	for i := range answers {
		writing.Go(func() { answers[i] = m.set(owner, id, "ACCEPTED", fmt.Sprint("c", i)) })
	}
	writing.Wait()
	m.set(owner, id, "DELIVERED", "last")
	changed := map[string]int{}
	for _, result := range m.rest(s) {
		changed[result]++
	}
	delete(changed, `{"data":`+courier("null")+`}`) // from just before the subscription
	applied := 0
	for i, answer := range answers {
		times := changed[`{"data":`+courier(`"`+fmt.Sprint("c", i)+`"`)+`}`]
		if refused := strings.Contains(answer, `"errors"`); times > 1 || times == 0 && !refused {
			t.Errorf("writer %d: %d changes, answer %s", i, times, answer)
		}
		applied += times
	}
	if len(changed) != applied+1 || applied == 0 {
		t.Errorf("%d applied, but the changes are %v", applied, changed)
	}
}

var retriedOf = regexp.MustCompile(`"(?:batch|event) delivered".*"Retried":([1-9]\d*)`)

// retried returns how many targets of the shop went through the queue of retries, as
// they may on an overloaded machine: that many may come late, too late or again.
func retried() (n int) {
	for _, batch := range retriedOf.FindAllStringSubmatch(shopLogs.String(), -1) {
		targets, _ := strconv.Atoi(batch[1]) // it is a number
		n += targets
	}
	return n
}

// The total of the order counts its changes.
func TestAllChangesInOrderThenCompleteThenNothing(t *testing.T) {
	t.Parallel()
	const changes, followers = 100, 10
	c, err := shopping()
	m := marketIn(t, c, err)
	o := shop.Order{ID: fresh("order"), ShopID: fresh("shop"), CustomerID: "ada", Status: shop.Placed, ChangedAt: m.shop.Now()}
	if err := m.shop.Orders.Insert(within(t), o); err != nil {
		t.Fatal(err)
	}
	total := func(n int) string { return fmt.Sprintf(`{"orderChanged":{"total":%d}}`, n) }
	m.throttled = true
	var people []*person
	var following []*wsclient.Subscription
	for range followers {
		p := m.enter("ada")
		s := m.subscribe(p, `subscription ($id: ID!) { orderChanged(orderId: $id) { total } }`, map[string]any{"id": o.ID})
		m.expect(s, total(0))
		people, following = append(people, p), append(following, s)
	}
	m.awaitRows("order/"+o.ID, followers)
	var want []string
	for i := range changes {
		_, err := m.shop.Orders.Update(within(t), func(o *shop.Order) error {
			if o.Total, o.Status = float64(i+1), shop.Accepted; i == changes-1 {
				o.Status = shop.Delivered
			}
			return nil
		}, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, `{"data":`+total(i+1)+`}`)
	}
	missing, repeated, late := 0, 0, 0
	for i, s := range following {
		got, distinct := m.rest(s), map[string]bool{}
		for _, result := range got {
			distinct[result] = true
		}
		missing += changes - len(distinct)
		repeated += len(got) - len(distinct)
		late += lateIn(got, want)
		m.expectEnd(people[i], s)
	}
	if most := retried(); max(missing, repeated, late) > most {
		t.Errorf("%d are missing, %d repeated and %d late, with %d retries", missing, repeated, late, most)
	}
	m.awaitRows("order/"+o.ID, 0)
	if !onHost && refusals.Load() == 0 { // a process does not refuse to post to its own sockets
		t.Error("no post was throttled")
	}
}

// choice is what a client wants of a shop's orders. It says that in its own words, to
// test those of the shop.
type choice struct {
	min float64 // -1 for any
	of  []string
	any bool // status
}

func (c choice) wants(total float64, status string) bool {
	if total < c.min {
		return false
	}
	for _, s := range c.of {
		if s == status {
			return true
		}
	}
	return c.any
}

func (c choice) variables(shopID string) map[string]any {
	v := map[string]any{"shop": shopID}
	if c.min >= 0 {
		v["min"] = c.min
	}
	if !c.any {
		v["of"] = c.of
	}
	return v
}

var statuses = []string{"PLACED", "ACCEPTED", "ON_ITS_WAY", "DELIVERED"}

func choose(random *rand.Rand) choice {
	c := choice{min: -1, of: []string{}, any: random.IntN(4) == 0}
	if random.IntN(4) > 0 {
		c.min = float64(random.IntN(21)) / 2
	}
	for _, s := range statuses {
		if !c.any && random.IntN(2) == 0 {
			c.of = append(c.of, s)
		}
	}
	return c
}

// Nobody gets anything else, and nothing else is posted, though stream is killed at times.
func TestTwoHundredClientsGetExactlyWhatTheirFiltersLetPass(t *testing.T) {
	t.Parallel()
	const clients, orders = 200, 10
	plan, err := plans.Parse("lambda.stream:kill@0.3")
	if err != nil {
		t.Fatal(err)
	}
	c, err := startShop(cloud.Config{Faults: plan, Seed: 1, Meter: true})
	m := marketIn(t, c, err)
	t.Cleanup(c.Stop)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const shopID = "a"
	var choices [clients]choice
	for i := range choices {
		choices[i] = choose(random)
	}
	choices[0] = choice{min: -1, any: true}
	var following [clients]*wsclient.Subscription
	inParallel(t, clients, func(i int) {
		following[i] = m.subscribe(m.enter(fmt.Sprint("owner-", i), shopID),
			`subscription ($shop: ID!, $min: Float, $of: [OrderStatus!]) { ordersOfShop(shopId: $shop, minTotal: $min, statuses: $of) { total status id } }`,
			choices[i].variables(shopID))
	})
	m.awaitRows("shop/"+shopID, clients)
	before := c.Meter.Usage().Gateway.Sent

	var totals [orders]float64
	for i := range totals {
		totals[i] = float64(random.IntN(21)) / 2
	}
	var heard [clients][]string
	for _, status := range statuses {
		inParallel(t, orders, func(i int) {
			o := shop.Order{ID: fmt.Sprint("o", i), ShopID: shopID, CustomerID: "ada", Status: shop.Status(status),
				Total: totals[i], ChangedAt: m.shop.Now()}
			if err := m.shop.Orders.Put(within(t), o); err != nil {
				t.Error(err)
			}
		})
		for range orders { // so that stream is invoked for each status
			heard[0] = append(heard[0], next(t, following[0]))
		}
	}
	sum := 0
	for i, s := range following {
		var want []string
		for o, total := range totals {
			for _, status := range statuses {
				if choices[i].wants(total, status) {
					want = append(want, fmt.Sprintf(`{"data":{"ordersOfShop":{"total":%v,"status":%q,"id":"o%d"}}}`, total, status, o))
				}
			}
		}
		for len(heard[i]) < len(want) {
			heard[i] = append(heard[i], next(t, s))
		}
		slices.Sort(want)
		slices.Sort(heard[i])
		if diff := cmp.Diff(want, heard[i]); diff != "" {
			t.Fatalf("client %d with %+v (-want +got):\n%s", i, choices[i], diff)
		}
		sum += len(want)
	}
	if sent := c.Meter.Usage().Gateway.Sent - before; !onHost && sent != float64(sum) {
		t.Errorf("%v posts for %d matches", sent, sum)
	}
	if c.Injector.Met()["lambda.stream:kill"] == 0 {
		t.Error("stream was never killed")
	}
}

// inParallel calls do with 0 to n-1, for some at a time.
func inParallel(t *testing.T, n int, do func(int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for range 8 {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	working.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// Positions of couriers who move at once come in lists, each courier's newest last.
func TestCouriersComeInLists(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	s := m.subscribe(m.enter("owner", "a"), `subscription { couriers { courierId latitude } }`, nil)
	m.awaitRows("windowed/couriers/couriers", 1)
	couriers := make([]string, 5)
	for i := range couriers {
		couriers[i] = fresh("courier")
	}
	for round, longest := 1, 0; longest < 2; round++ { // one read of the stream may end between two positions
		var list []string
		for _, courier := range couriers {
			list = append(list, moved(courier, place(round), round))
		}
		if status, answer := m.post("["+strings.Join(list, ",")+"]", signed...); status != "200" {
			t.Fatalf("%s %s", status, answer)
		}
		for at := map[string]int{}; len(at) < len(couriers); {
			var got struct {
				Data struct {
					Couriers []struct {
						CourierID string
						Latitude  int
					}
				}
			}
			raw := next(t, s)
			if err := json.Unmarshal([]byte(raw), &got); err != nil {
				t.Fatal(err)
			}
			mine := 0
			for _, p := range got.Data.Couriers {
				if slices.Contains(couriers, p.CourierID) && p.Latitude == round {
					at[p.CourierID] = p.Latitude
					mine++
				}
			}
			longest = max(longest, mine)
		}
	}
}
