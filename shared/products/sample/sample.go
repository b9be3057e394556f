// Package sample is a product: items that anybody may write and follow.
package sample

import (
	"context"
	"errors"
	"time"

	"subwire/shared/subwire"
)

// Item is a row of the table items, and a type of the schema.
type Item struct {
	ID        string    `json:"id" gql:"id"`
	Text      string    `json:"text"`
	ChangedAt time.Time `json:"changedAt"`
}

func itemTopic(id string) subwire.Topic { return "item/" + id }

// Product is the product with its table.
type Product struct {
	*subwire.App
	Items *subwire.Table[Item]
}

// New returns the product.
func New() Product {
	p := Product{App: subwire.New("sample")}
	p.Canary = subwire.Canary{Subscribe: `subscription { itemChanged(id: "canary") { changedAt } }`,
		Post: `mutation { putItem(id: "canary", text: "canary") { changedAt } }`}
	p.Items = subwire.NewTable(p.App, subwire.TableSpec{Name: "items", Key: "id", Kept: true},
		func(c subwire.Change[Item], emit subwire.Emit) {
			if c.Now != nil {
				emit(c.Now, itemTopic(c.Now.ID))
			}
		})
	subwire.Query(p.App, "item", p.item, subwire.Doc("An item, or null."))
	subwire.Mutation(p.App, "putItem", p.putItem, subwire.Doc("Writes an item, in the place of the one with its id."))
	subwire.Subscribe(p.App, "itemChanged", subwire.Subscription[itemArgs, Item]{
		Doc:   "An item, now and whenever it changes.",
		Topic: func(a itemArgs) (subwire.Topic, error) { return itemTopic(a.ID), a.check() },
		Current: func(ctx context.Context, _ subwire.Viewer, a itemArgs) (Item, error) {
			return p.Items.Get(ctx, a.ID)
		},
	})
	return p
}

type itemArgs struct {
	ID string `json:"id" gql:"id"`
}

func (a itemArgs) check() error {
	if a.ID == "" {
		return subwire.Invalid("id is empty")
	}
	return nil
}

func (p Product) item(ctx context.Context, _ subwire.Viewer, a itemArgs) (*Item, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	item, err := p.Items.Get(ctx, a.ID)
	if errors.Is(err, subwire.ErrNotFound) {
		return nil, nil
	}
	return &item, err
}

func (p Product) putItem(ctx context.Context, _ subwire.Viewer, a struct {
	ID   string `json:"id" gql:"id"`
	Text string `json:"text"`
}) (Item, error) {
	if err := (itemArgs{a.ID}).check(); err != nil {
		return Item{}, err
	}
	item := Item{ID: a.ID, Text: a.Text, ChangedAt: p.Now()}
	return item, p.Items.Put(ctx, item)
}
