// Package chattest is what tests and benchmarks need of the chat.
package chattest

import (
	"context"

	"subwire/shared/chat"
	"subwire/shared/subwire"
	"subwire/shared/table"
)

// Product is what a deployment of the chat adds to the core, and Table keeps its messages.
var (
	Product = chat.New().Product()
	Table   = Product.Tables[0]
)

// Put stores a message as it is, whatever its id says of the time. One that is already
// there is replaced.
func Put(ctx context.Context, s table.Store, m chat.Message) error {
	row, err := table.Encode(m)
	if err != nil {
		return err
	}
	return s.PutRow(ctx, Table, row, table.Condition{})
}

// Messages returns the latest messages of a chat, at most limit, in ascending order.
func Messages(ctx context.Context, s table.Store, chatID string, limit int) ([]chat.Message, error) {
	c := chat.New()
	if _, err := c.Open(subwire.Env{Tables: s}); err != nil {
		return nil, err
	}
	return c.Messages.Before(ctx, chatID, "", limit)
}
