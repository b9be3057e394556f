package chaos

import (
	"context"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// product is what the harness knows of the product that runs. What its events are about
// are subjects: chats, or orders.
type product interface {
	app() topology.Product // its first table has the events
	subject(i int) string

	// open is called once, before there are clients, with a store that meets no faults.
	open(ctx context.Context, rows *dynamo.Store, s Setup) error

	// feeds are what the client with that number subscribes to.
	feeds(client int) []feed

	// post is a mutation that makes an event of the subject, with a mark that tells it
	// from the others.
	post(subject, mark string) wsclient.Operation

	// event is what the row in the stream means, without what the harness knows.
	event(row table.Row) (e Event, mark string, err error)

	// end makes the next event of each of the subjects that it returns their last.
	end() []string

	// sweep makes an event for every subscription, except to what has ended.
	sweep(ctx context.Context, h *Harness) error
}

// feed is a subscription to a product.
type feed struct {
	of        string // its subject, for people
	topic     string
	wants     func(Event) bool
	follows   bool // it begins with the current state, and ends with its subject
	operation func(after string) wsclient.Operation
	id        func(result []byte) string // of the event; for anything else, some text that is not an id

	// Of a subscription that resumes after an event; nil otherwise.
	missed func(after string) wsclient.Operation // a query of the next page of what it missed
	ids    func(result []byte) []string          // of such a page
}
