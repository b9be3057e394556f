package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/shop"
	"subwire/shared/topology"
)

// An owner orders in the own shop, so an order comes by two of the topics that the
// subscription has. It is posted once, though stream is killed at times.
func TestWhatComesByTwoTopicsIsPostedOnce(t *testing.T) {
	t.Parallel()
	const clients, changes = 6, 50
	plan, err := plans.Parse("lambda.stream:kill@0.3")
	if err != nil {
		t.Fatal(err)
	}
	c, err := startShop(cloud.Config{Faults: plan, Seed: 2, Meter: true})
	m := marketIn(t, c, err)
	t.Cleanup(c.Stop)
	topics := []string{"customer/owner", "shop/a", "shop/b"}
	var people [clients]*person
	var following [clients]*wsclient.Subscription
	for i := range clients {
		people[i] = m.enter("owner", "b", "a")
		following[i] = m.subscribe(people[i], `subscription { visibleOrders { id total } }`, nil)
	}
	for _, topic := range topics {
		m.awaitRows(topic, clients)
	}
	before := c.Meter.Usage().Gateway.Sent

	orders := []shop.Order{{ID: "own", ShopID: "a", CustomerID: "owner"}, {ID: "at a", ShopID: "a", CustomerID: "ada"},
		{ID: "at b", ShopID: "b", CustomerID: "ada"}, {ID: "elsewhere", ShopID: "c", CustomerID: "owner"}}
	want := map[string][]string{} // by order
	for i := range changes {
		if i == changes-len(orders) {
			c.Injector.Heal() // stream is done with an order once its last event has come
		}
		o := orders[i%len(orders)]
		o.Status, o.Total, o.ChangedAt = shop.Placed, float64(i), m.shop.Now()
		if err := m.shop.Orders.Put(within(t), o); err != nil {
			t.Fatal(err)
		}
		want[o.ID] = append(want[o.ID], fmt.Sprintf(`{"data":{"visibleOrders":{"id":%q,"total":%d}}}`, o.ID, i))
	}
	for i, s := range following {
		got := map[string][]string{}
		for range changes {
			result := next(t, s)
			for _, o := range orders {
				if strings.Contains(result, fmt.Sprintf("%q", o.ID)) {
					got[o.ID] = append(got[o.ID], result)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("client %d (-want +got):\n%s", i, diff)
		}
	}
	if c.Injector.Met()["lambda.stream:kill"] == 0 {
		t.Error("stream was never killed")
	}

	for i, s := range following[:clients/2] {
		if err := s.Complete(within(t)); err != nil {
			t.Error(i, err)
		}
	}
	for _, topic := range topics {
		m.awaitRows(topic, clients-clients/2)
	}
	if sent := c.Meter.Usage().Gateway.Sent - before; !onHost && sent != clients*changes {
		t.Errorf("%v posts for %d results\nfunctions' logs:\n%s", sent, clients*changes, logs.String())
	}
	await(t, "the operations that are left", func() bool { return slices.Equal(m.operations(), []int{0, 0, 0, 1, 1, 1}) })
	for _, p := range people {
		p.client.Close()
	}
	for _, topic := range topics {
		m.awaitRows(topic, 0)
	}
}

// operations returns how many operations each connection runs, in ascending order.
func (m market) operations() (running []int) {
	m.Helper()
	tables := dynamo.Tables{Connections: m.cloud.Tables[topology.Connections.Name]}
	for c, err := range dynamo.New(dynamo.NewClient(m.cloud.Backend.AWS()), tables).Connections(within(m.T)) {
		if err != nil {
			m.Fatal(err)
		}
		running = append(running, len(c.Operations))
	}
	slices.Sort(running)
	return running
}
