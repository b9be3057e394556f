// Package shop is a product whose rows change: orders that customers and shops follow,
// with rights that are in the data, and couriers whose positions are stored nowhere.
package shop

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"subwire/shared/subwire"
)

// Status is how far an order has come.
type Status string

// The statuses, in their order.
const (
	Placed    Status = "PLACED"
	Accepted  Status = "ACCEPTED"
	OnItsWay  Status = "ON_ITS_WAY"
	Delivered Status = "DELIVERED"
	Cancelled Status = "CANCELLED"
)

// Order is one order. Its customer and its shop may see it.
type Order struct {
	ID         string    `json:"id" gql:"id"`
	ShopID     string    `json:"shopId" gql:"id"`
	CustomerID string    `json:"customerId" gql:"-"`
	CourierID  *string   `json:"courierId,omitempty" gql:"id"`
	Status     Status    `json:"status"`
	Total      float64   `json:"total"`
	ChangedAt  time.Time `json:"changedAt"`
}

func (o Order) over() bool { return o.Status == Delivered || o.Status == Cancelled }

// Position is where a courier is. Whoever knows the courier publishes it.
type Position struct {
	CourierID string  `json:"courierId" gql:"id"`
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

func orderTopic(id string) subwire.Topic    { return "order/" + id }
func shopTopic(id string) subwire.Topic     { return "shop/" + id }
func courierTopic(id string) subwire.Topic  { return "courier/" + id }
func customerTopic(id string) subwire.Topic { return "customer/" + id }

const allCouriers subwire.Topic = "couriers"

// Shop is the product with its table.
type Shop struct {
	*subwire.App
	Orders *subwire.Table[Order]
}

// New returns the product.
func New() Shop {
	s := Shop{App: subwire.New("shop")}
	s.Claims = []string{"shops"}
	s.Try = subwire.Example{Claims: []string{`shops=["a"]`},
		Subscribe: `subscription { ordersOfShop(shopId: "a") { id status } }`,
		Document:  `mutation { placeOrder(shopId: "a", total: 12.5) { id status } }`}
	s.Canary = subwire.Canary{Subscribe: `subscription { ordersOfShop(shopId: "canary") { id } }`,
		Post:   `mutation { placeOrder(shopId: "canary", total: 1) { id } }`,
		Claims: []string{`shops=["canary"]`}}
	subwire.Enum(s.App, "OrderStatus", Placed, Accepted, OnItsWay, Delivered, Cancelled)
	s.Orders = subwire.NewTable(s.App, subwire.TableSpec{Name: "orders", Key: "id", Kept: true,
		Indexes: map[string][2]string{"byShop": {"shopId", "id"}}},
		func(c subwire.Change[Order], emit subwire.Emit) {
			if c.Now != nil {
				emit(c.Now, orderTopic(c.Now.ID), shopTopic(c.Now.ShopID), customerTopic(c.Now.CustomerID))
			}
		})
	subwire.Inbox(s.App, "courierMoved", func(p Position) string { return p.CourierID },
		func(p Position, emit subwire.Emit) {
			emit.Latest(p, courierTopic(p.CourierID))
			emit.Windowed("couriers").Latest(p, allCouriers)
		})

	subwire.Query(s.App, "order", s.order)
	subwire.Query(s.App, "orders", s.orders)
	subwire.Mutation(s.App, "placeOrder", s.placeOrder)
	subwire.Mutation(s.App, "setOrderStatus", s.setOrderStatus)

	subwire.Subscribe(s.App, "orderChanged", subwire.Subscription[orderArgs, Order]{
		Doc:   "An order, now and whenever it changes, until it is over.",
		Topic: func(a orderArgs) (subwire.Topic, error) { return orderTopic(a.OrderID), required("orderId", a.OrderID) },
		Begin: func(ctx context.Context, v subwire.Viewer, a orderArgs) error {
			_, err := s.order(ctx, v, a)
			return err
		},
		Allow: func(v subwire.Viewer, _ orderArgs, o Order) error { return s.maySee(v, o) },
		Current: func(ctx context.Context, _ subwire.Viewer, a orderArgs) (Order, error) {
			return s.Orders.Get(ctx, a.OrderID)
		},
		Ends: Order.over,
	})
	subwire.Subscribe(s.App, "ordersOfShop", subwire.Subscription[shopArgs, Order]{
		Doc:   "The orders of a shop whenever one changes.",
		Topic: func(a shopArgs) (subwire.Topic, error) { return shopTopic(a.ShopID), required("shopId", a.ShopID) },
		Begin: func(_ context.Context, v subwire.Viewer, a shopArgs) error { return s.mayServe(v, a.ShopID) },
		Allow: func(v subwire.Viewer, a shopArgs, _ Order) error { return s.mayServe(v, a.ShopID) },
		Filter: func(a shopArgs, o Order) bool {
			return (a.MinTotal == nil || o.Total >= *a.MinTotal) && (a.Statuses == nil || slices.Contains(a.Statuses, o.Status))
		},
	})
	subwire.Subscribe(s.App, "myOrders", subwire.Subscription[struct{}, Order]{
		Doc: "The viewer's own orders whenever one changes.",
		TopicOf: func(v subwire.Viewer, _ struct{}) (subwire.Topic, error) {
			return customerTopic(v.ID), s.signedIn(v)
		},
	})
	subwire.Subscribe(s.App, "visibleOrders", subwire.Subscription[struct{}, Order]{
		Doc: "The orders that the viewer placed, or works for, whenever one changes.",
		Topics: func(v subwire.Viewer, _ struct{}) ([]subwire.Topic, error) {
			topics := []subwire.Topic{customerTopic(v.ID)}
			for _, id := range shopsOf(v) {
				topics = append(topics, shopTopic(id))
			}
			return topics, s.signedIn(v)
		},
	})
	subwire.Subscribe(s.App, "courierMoved", subwire.Subscription[courierArgs, Position]{
		Doc: "Where a courier is.",
		Topic: func(a courierArgs) (subwire.Topic, error) {
			return courierTopic(a.CourierID), required("courierId", a.CourierID)
		},
	})
	subwire.Subscribe(s.App, "couriers", subwire.Subscription[struct{}, Position]{
		Doc:    "Where all couriers are, for shops: those that move within 200 ms come together.",
		Topic:  func(struct{}) (subwire.Topic, error) { return allCouriers, nil },
		Begin:  func(_ context.Context, v subwire.Viewer, _ struct{}) error { return s.isShop(v) },
		Allow:  func(v subwire.Viewer, _ struct{}, _ Position) error { return s.isShop(v) },
		Window: 200 * time.Millisecond,
		Newest: func(p Position) string { return p.CourierID },
	})
	return s
}

type orderArgs struct {
	OrderID string `json:"orderId" gql:"id"`
}

type shopArgs struct {
	ShopID   string   `json:"shopId" gql:"id"`
	MinTotal *float64 `json:"minTotal" gql:"filter"`
	Statuses []Status `json:"statuses" gql:"filter"`
}

type courierArgs struct {
	CourierID string `json:"courierId" gql:"id"`
}

func (s Shop) order(ctx context.Context, v subwire.Viewer, a orderArgs) (Order, error) {
	o, err := s.Orders.Get(ctx, a.OrderID)
	if errors.Is(err, subwire.ErrNotFound) {
		return o, errNoOrder
	}
	return o, cmp.Or(err, s.maySee(v, o))
}

func (s Shop) orders(ctx context.Context, v subwire.Viewer, a struct {
	ShopID string `json:"shopId" gql:"id"`
	Limit  int    `json:"limit" default:"20"`
}) ([]Order, error) {
	if err := s.mayServe(v, a.ShopID); err != nil {
		return nil, err
	}
	if a.Limit < 1 || a.Limit > 100 {
		return nil, subwire.Invalid("limit is from 1 to 100")
	}
	return s.Orders.By(ctx, "byShop", a.ShopID, a.Limit)
}

func (s Shop) placeOrder(ctx context.Context, v subwire.Viewer, a struct {
	ShopID string  `json:"shopId" gql:"id"`
	Total  float64 `json:"total"`
}) (Order, error) {
	if err := cmp.Or(s.signedIn(v), required("shopId", a.ShopID)); err != nil {
		return Order{}, err
	}
	o := Order{ID: s.NewID(), ShopID: a.ShopID, CustomerID: v.ID, Status: Placed, Total: a.Total, ChangedAt: s.Now()}
	return o, s.Orders.Insert(ctx, o)
}

func (s Shop) setOrderStatus(ctx context.Context, v subwire.Viewer, a struct {
	OrderID   string  `json:"orderId" gql:"id"`
	Status    Status  `json:"status"`
	CourierID *string `json:"courierId" gql:"id"`
}) (Order, error) {
	o, err := s.Orders.Update(ctx, func(o *Order) error {
		if err := s.mayServe(v, o.ShopID); err != nil {
			return errNoOrder
		}
		if o.over() {
			return subwire.Invalid("The order is over.")
		}
		o.Status, o.ChangedAt = a.Status, s.Now()
		if a.CourierID != nil {
			o.CourierID = a.CourierID
		}
		return nil
	}, a.OrderID)
	if errors.Is(err, subwire.ErrNotFound) {
		return o, errNoOrder
	}
	return o, err
}

// errNoOrder does not tell whether there is an order that the viewer may not see.
var errNoOrder = subwire.Forbidden("You have no such order.")

func (s Shop) maySee(v subwire.Viewer, o Order) error {
	if v.ID != "" && v.ID == o.CustomerID || s.mayServe(v, o.ShopID) == nil {
		return nil
	}
	return errNoOrder
}

// mayServe refuses who does not work for the shop. Without tokens everybody does.
func (s Shop) mayServe(v subwire.Viewer, shopID string) error {
	if s.Anonymous() || slices.Contains(shopsOf(v), shopID) {
		return nil
	}
	return subwire.Forbidden("This is not your shop.")
}

// shopsOf are those that the viewer works for: the claim shops of its token, a list of texts.
func shopsOf(v subwire.Viewer) (ids []string) {
	if !v.Claim("shops", &ids) {
		return nil
	}
	return ids
}

// isShop refuses who works for no shop.
func (s Shop) isShop(v subwire.Viewer) error {
	if s.Anonymous() || len(shopsOf(v)) > 0 {
		return nil
	}
	return subwire.Forbidden("This is for shops.")
}

func (s Shop) signedIn(v subwire.Viewer) error {
	if v.ID == "" && !s.Anonymous() {
		return subwire.Forbidden("Sign in first.")
	}
	return nil
}

func required(name, value string) error {
	if value == "" {
		return subwire.Invalid(name + " is empty")
	}
	return nil
}
