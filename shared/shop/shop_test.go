package shop

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/subwiretest"
)

var ofA = map[string]any{"shops": []string{"a"}}

// place lets the client order for that total, and returns the order's id.
func place(t *testing.T, c *subwiretest.Client, total float64) string {
	t.Helper()
	got := c.Do(`mutation ($t: Float!) { placeOrder(shopId: "a", total: $t) { id } }`, map[string]any{"t": total})
	var answer struct {
		Data struct{ PlaceOrder struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got, "next ")), &answer); err != nil || answer.Data.PlaceOrder.ID == "" {
		t.Fatalf("placed: %s, %v", got, err)
	}
	return answer.Data.PlaceOrder.ID
}

func set(c *subwiretest.Client, id, status string) string {
	return c.Do(`mutation ($id: ID!, $s: OrderStatus!) { setOrderStatus(orderId: $id, status: $s) { status } }`,
		map[string]any{"id": id, "s": status})
}

func want(t *testing.T, c *subwiretest.Client, id string, messages ...string) {
	t.Helper()
	if diff := cmp.Diff(messages, c.Got(id)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", id, diff)
	}
}

func next(field, value string) string { return `next {"data":{"` + field + `":` + value + `}}` }

const followOrder = `subscription ($id: ID!) { orderChanged(orderId: $id) { status } }`

func TestAnOrderAndItsFollowers(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, owner, eve := cloud.Connect("ada", nil), cloud.Connect("owner", ofA), cloud.Connect("eve", nil)
	owner.Subscribe("all", `subscription { ordersOfShop(shopId: "a") { status total } }`, nil)
	id := place(t, ada, 12)
	variables := map[string]any{"id": id}
	ada.Subscribe("mine", followOrder, variables)
	owner.Subscribe("one", followOrder, variables)
	eve.Subscribe("theirs", followOrder, variables)
	set(owner, id, "ACCEPTED")
	want(t, owner, "all", next("ordersOfShop", `{"status":"PLACED","total":12}`), next("ordersOfShop", `{"status":"ACCEPTED","total":12}`))
	for _, c := range []struct {
		client *subwiretest.Client
		id     string
	}{{ada, "mine"}, {owner, "one"}} {
		want(t, c.client, c.id, next("orderChanged", `{"status":"PLACED"}`), next("orderChanged", `{"status":"ACCEPTED"}`))
	}
	if got := eve.Got("theirs"); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
		t.Errorf("eve got %q", got)
	}
	if got := set(eve, id, "CANCELLED"); !strings.Contains(got, "FORBIDDEN") {
		t.Errorf("eve sets the status: %s", got)
	}
}

func TestAnOrderThatIsOverEndsItsSubscriptions(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, owner := cloud.Connect("ada", nil), cloud.Connect("owner", ofA)
	id := place(t, ada, 12)
	variables := map[string]any{"id": id}
	ada.Subscribe("mine", followOrder, variables)
	for _, status := range []string{"ACCEPTED", "DELIVERED"} {
		set(owner, id, status)
	}
	want(t, ada, "mine", next("orderChanged", `{"status":"PLACED"}`), next("orderChanged", `{"status":"ACCEPTED"}`),
		next("orderChanged", `{"status":"DELIVERED"}`), "complete")
	if got := set(owner, id, "PLACED"); !strings.Contains(got, "The order is over.") {
		t.Errorf("an order that is over changes: %s", got)
	}
	ada.Subscribe("late", followOrder, variables)
	want(t, ada, "late", next("orderChanged", `{"status":"DELIVERED"}`), "complete")
	ada.Subscribe("mine", `subscription { ordersOfShop(shopId: "a") { id } }`, nil) // the id is free again
	if got := ada.Got("mine"); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
		t.Errorf("the id is not free: %q", got)
	}
}

func TestMyOrdersAreTheViewersOwn(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, bob, nobody := cloud.Connect("ada", nil), cloud.Connect("bob", nil), cloud.Connect("", nil)
	for _, c := range []*subwiretest.Client{ada, bob, nobody} {
		c.Subscribe("mine", `subscription { myOrders { total } }`, nil)
	}
	place(t, ada, 3)
	place(t, bob, 4)
	want(t, ada, "mine", next("myOrders", `{"total":3}`))
	want(t, bob, "mine", next("myOrders", `{"total":4}`))
	if got := nobody.Got("mine"); len(got) != 1 || !strings.Contains(got[0], "Sign in first.") {
		t.Errorf("nobody got %q", got)
	}
}

// An order that one has placed in one's own shop comes by two ways.
func TestAnOrderIsVisibleOnce(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, owner, eve := cloud.Connect("ada", nil), cloud.Connect("owner", map[string]any{"shops": []string{"a", "b"}}), cloud.Connect("eve", nil)
	for _, c := range []*subwiretest.Client{ada, owner, eve} {
		c.Subscribe("all", `subscription { visibleOrders { total } }`, nil)
	}
	place(t, owner, 3)
	place(t, ada, 4)
	want(t, owner, "all", next("visibleOrders", `{"total":3}`), next("visibleOrders", `{"total":4}`))
	want(t, ada, "all", next("visibleOrders", `{"total":4}`))
	want(t, eve, "all")
	owner.Complete("all")
	place(t, owner, 5)
	if got := owner.Got("all"); len(got) > 0 {
		t.Errorf("after complete: %q", got)
	}
}

func TestAFilterChoosesAmongTheOrdersOfAShop(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, owner := cloud.Connect("ada", nil), cloud.Connect("owner", ofA)
	const document = `subscription ($min: Float, $of: [OrderStatus!]) { ordersOfShop(shopId: "a", minTotal: $min, statuses: $of) { total status } }`
	owner.Subscribe("all", document, nil)
	owner.Subscribe("large", document, map[string]any{"min": 20})
	owner.Subscribe("accepted", document, map[string]any{"of": []string{"ACCEPTED", "DELIVERED"}})
	owner.Subscribe("none", document, map[string]any{"of": []string{}})
	small, large := place(t, ada, 5), place(t, ada, 20)
	set(owner, small, "ACCEPTED")
	placed5, placed20, accepted5 := `{"total":5,"status":"PLACED"}`, `{"total":20,"status":"PLACED"}`, `{"total":5,"status":"ACCEPTED"}`
	want(t, owner, "all", next("ordersOfShop", placed5), next("ordersOfShop", placed20), next("ordersOfShop", accepted5))
	want(t, owner, "large", next("ordersOfShop", placed20))
	want(t, owner, "accepted", next("ordersOfShop", accepted5))
	want(t, owner, "none")
	_ = large
}

func TestPositionsComeFromOutside(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada := cloud.Connect("ada", nil)
	ada.Subscribe("where", `subscription { courierMoved(courierId: "carl") { latitude } }`, nil)
	for id, latitude := range map[string]float64{"1": 52.5} {
		for range 2 { // the second is dropped
			cloud.Publish("courierMoved", id, Position{CourierID: "carl", Latitude: latitude})
		}
	}
	cloud.Publish("courierMoved", "2", Position{CourierID: "cora", Latitude: 1})
	want(t, ada, "where", next("courierMoved", `{"latitude":52.5}`))
}

// Shops follow all couriers, in lists.
func TestShopsSeeAllCouriers(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	owner, ada := cloud.Connect("owner", ofA), cloud.Connect("ada", nil)
	for _, c := range []*subwiretest.Client{owner, ada} {
		c.Subscribe("all", `subscription { couriers { courierId latitude } }`, nil)
	}
	cloud.Publish("courierMoved", "1", Position{CourierID: "carl", Latitude: 1})
	cloud.Publish("courierMoved", "1", Position{CourierID: "cora", Latitude: 2})
	want(t, owner, "all", next("couriers", `[{"courierId":"carl","latitude":1}]`), next("couriers", `[{"courierId":"cora","latitude":2}]`))
	if got := ada.Got("all"); len(got) != 1 || !strings.Contains(got[0], "This is for shops.") {
		t.Errorf("ada got %q", got)
	}
}
