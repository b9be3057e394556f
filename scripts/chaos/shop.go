package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/shop"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// orders is the shop. Its subscriptions do not resume. Each client follows orders, and
// has a shop with a filter. The courier of an order is the mark of its latest change.
type orders struct {
	Setup
	shop   shop.Shop
	ending atomic.Bool // posts to every other order deliver it
}

const perShop = 2 // orders

func (*orders) app() topology.Product { return shop.New().Product() }
func (*orders) subject(i int) string  { return fmt.Sprint("order-", i) }

// shopID is of an order with that number.
func shopID(order int) string { return fmt.Sprint("shop-", order/perShop) }

// open stores the orders. The total of each is its number.
func (o *orders) open(ctx context.Context, rows *dynamo.Store, s Setup) error {
	o.Setup, o.shop = s, shop.New()
	o.shop.MustOpen(subwire.Env{Tables: rows})
	for i := range o.Subjects {
		if err := o.put(ctx, o.subject(i), shopID(i), shop.Placed, float64(i)); err != nil {
			return err
		}
	}
	return nil
}

// put stores an order without the functions. It tries until ctx ends, as a write has
// less time than a busy machine takes.
func (o *orders) put(ctx context.Context, id, shopID string, status shop.Status, total float64) error {
	for {
		err := o.shop.Orders.Put(ctx, shop.Order{ID: id, ShopID: shopID, CustomerID: "ada", Status: status,
			Total: total, ChangedAt: o.shop.Now()})
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// post accepts the order, and every other time sends it on its way.
func (o *orders) post(orderID, mark string) wsclient.Operation {
	status := shop.Accepted
	switch {
	case o.ending.Load() && even(orderID):
		status = shop.Delivered
	case even(mark):
		status = shop.OnItsWay
	}
	return wsclient.Operation{
		Query: `mutation ($id: ID!, $status: OrderStatus!, $courier: ID) {
			setOrderStatus(orderId: $id, status: $status, courierId: $courier) { id } }`,
		Variables: map[string]any{"id": orderID, "status": status, "courier": mark}}
}

// even reports whether the number at the end of the text is.
func even(text string) bool { return text[len(text)-1]%2 == 0 }

func (o *orders) end() (ending []string) {
	o.ending.Store(true)
	for i := range o.Subjects {
		if id := o.subject(i); even(id) {
			ending = append(ending, id)
		}
	}
	return ending
}

func over(o shop.Order) bool { return o.Status == shop.Delivered || o.Status == shop.Cancelled }

func (*orders) event(row table.Row) (e Event, mark string, err error) {
	var o shop.Order
	if err := table.Decode(row, &o); err != nil {
		return e, "", err
	}
	if o.CourierID != nil {
		mark = *o.CourierID
	}
	return Event{ID: changeID(o), Subject: o.ID, Order: o, Last: over(o)}, mark, nil
}

// changeID tells a change from others, also from one with its mark: an update whose
// answer was lost is made again.
func changeID(o shop.Order) string {
	courier := ""
	if o.CourierID != nil {
		courier = *o.CourierID
	}
	return fmt.Sprintf("%s %s by %q at %d", o.ID, o.Status, courier, o.ChangedAt.UnixMilli())
}

// filter is what a client wants of the orders of a shop. It says that in its own words,
// to test the shop's.
type filter struct {
	least    bool // only orders of an odd number, which have the greater total in their shops
	statuses []shop.Status
}

// filters let the events of a sweep pass.
var filters = []filter{
	{},
	{least: true},
	{statuses: []shop.Status{shop.Accepted, shop.Delivered}},
	{least: true, statuses: []shop.Status{shop.OnItsWay, shop.Delivered}},
}

const changeFields = `{ id status courierId changedAt }`

func (o *orders) feeds(client int) (all []feed) {
	for k := range max(o.Listens, 1) {
		orderID := o.subject((client + k) % o.Subjects)
		all = append(all, feed{of: orderID, topic: "order/" + orderID, follows: true, id: orderChange,
			wants: func(e Event) bool { return e.Subject == orderID },
			operation: func(string) wsclient.Operation {
				return wsclient.Operation{Query: `subscription ($id: ID!) { orderChanged(orderId: $id) ` + changeFields + ` }`,
					Variables: map[string]string{"id": orderID}}
			}})
	}
	first := client % o.Subjects / perShop * perShop // order of the shop
	f := filters[(client+client/o.Subjects)%len(filters)]
	variables := map[string]any{"shop": shopID(first)}
	if f.least {
		variables["min"] = first + 1
	}
	if f.statuses != nil {
		variables["of"] = f.statuses
	}
	return append(all, feed{of: fmt.Sprint(shopID(first), f), topic: "shop/" + shopID(first), id: orderChange,
		wants: func(e Event) bool {
			return e.Order.ShopID == shopID(first) && (!f.least || e.Order.Total > float64(first)) &&
				(f.statuses == nil || slices.Contains(f.statuses, e.Order.Status))
		},
		operation: func(string) wsclient.Operation {
			return wsclient.Operation{Variables: variables,
				Query: `subscription ($shop: ID!, $min: Float, $of: [OrderStatus!]) {
					ordersOfShop(shopId: $shop, minTotal: $min, statuses: $of) ` + changeFields + ` }`}
		}})
}

func (o *orders) sweep(ctx context.Context, h *Harness) error {
	for i := range o.Subjects {
		if even(o.subject(i)) { // it is over, and its shop has another
			for _, status := range []shop.Status{shop.Accepted, shop.OnItsWay} {
				if err := o.put(ctx, "sweep-"+shopID(i), shopID(i), status, 1e6); err != nil {
					return err
				}
			}
		} else if _, err := h.PostMany(ctx, o.subject(i), 1); err != nil {
			return err
		}
	}
	return nil
}

// orderChange is the id of the change in a result, or the result after a word that makes
// it no id.
func orderChange(result []byte) string {
	var next struct{ Data map[string]shop.Order }
	if err := json.Unmarshal(result, &next); err != nil || len(next.Data) != 1 {
		return "nothing: " + string(result)
	}
	for _, o := range next.Data {
		return changeID(o)
	}
	return ""
}
