// Package publish publishes events of a product from any program, such as a Lambda
// function of another stack. Functions of the product itself call subwire.App.Publish.
package publish

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/dynamo"
	"subwire/shared/subwire"
)

// Publisher publishes events of one product. Many goroutines may use it at once.
type Publisher struct{ app *subwire.App }

// New returns a Publisher for the product, which it opens, and for the table inbox of
// that physical name, the output TableInbox of the product's stack. Credentials of cfg
// need the permission dynamodb:PutItem on the table, which the deployment gives with
// -c publishers=ROLE_ARN. It calls nothing yet. Its error is of a product that takes no
// events, or makes no schema.
func New(cfg aws.Config, app *subwire.App, table string) (*Publisher, error) {
	if !subwire.TakesEvents(app.Product()) {
		return nil, fmt.Errorf("product %s takes no events: it has no subwire.Inbox", app.Name())
	}
	store := dynamo.New(dynamo.NewClient(cfg), dynamo.Tables{Products: map[string]string{subwire.InboxTable: table}})
	if _, err := app.Open(subwire.Env{Tables: store}); err != nil {
		return nil, err
	}
	return &Publisher{app}, nil
}

// Publish is subwire.App.Publish: when it returns nil, the event is durable. The id names
// the event, so a call may be repeated for a day; of events of which only the newest
// counts, ids ascend. A call ends after subwire.WriteTime.
func (p *Publisher) Publish(ctx context.Context, event, id string, data any) error {
	return p.app.Publish(ctx, event, id, data)
}
