package cloud

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/shared/products"
	"subwire/shared/pubsub"
)

// ConsoleConfig is what a console needs of its caller.
type ConsoleConfig struct {
	Tell func(line string) // gets a line for people per event; nil for none

	// Of dead letters: what a queue has, and sending it again. nil if that is not possible.
	Letters func(ctx context.Context, d deployment.Deployment, queue string) ([]console.Letter, error)
	Redrive func(ctx context.Context, d deployment.Deployment, queue string) (sent int, err error)
}

// startConsole makes the recorder that all parts tell, before they start.
func (c *Cloud) startConsole() {
	if c.cfg.Console == nil {
		return
	}
	c.deck = &deck{Cloud: c}
	c.deck.app, _ = products.App(c.cfg.App.Name) // a test's product may be in no list
	c.Console = console.New(c.cfg.App)
	c.Console.Tell = c.cfg.Console.Tell
	if c.deck.app != nil {
		c.Console.Events = c.deck.eventsOf
	}
}

// eventsOf decodes the events of a stream function's payload.
func (d *deck) eventsOf(payload []byte) (all []pubsub.Event) {
	var e events.DynamoDBEvent
	if json.Unmarshal(payload, &e) != nil {
		return nil
	}
	for _, record := range e.Records {
		found, err := d.app.Events(record)
		if err == nil {
			all = append(all, found...)
		}
	}
	return all
}

// withConsole serves the console before the HTTP API, if that is on a loopback address.
func (c *Cloud) withConsole(web net.Listener, api http.Handler) http.Handler {
	if c.Console == nil || !console.Loopback(web.Addr().String()) {
		return api
	}
	c.ConsoleURL = "http://" + web.Addr().String() + console.Path
	page := console.Handler(c.deck, c.deck.actions())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == console.Path || strings.HasPrefix(r.URL.Path, console.Path+"/") {
			page.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
