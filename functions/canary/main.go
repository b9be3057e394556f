// Command canary tries the deployment that it is part of, as a client, and counts what came
// of it. A rule invokes it every few minutes, in deployments that ask for it.
package main

import (
	"errors"

	"subwire/functions/internal/invocation"
	"subwire/shared/boot"
	"subwire/shared/canary"
	"subwire/shared/origins"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Canary, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	if app.Canary.Post == "" {
		return errors.New("the product has no canary")
	}
	try := canary.Try{WebSocketURL: p.WebSocketURL, HTTPURL: p.HTTPURL,
		Subscribe: app.Canary.Subscribe, Post: app.Canary.Post}
	if allowed := topology.AllowedOrigins.In(p.Settings); allowed[0] != origins.Any {
		try.Origin = allowed[0]
	}
	invocation.Serve(p, handler{
		try:     try,
		token:   topology.CanaryToken.In(p.Settings),
		aws:     p.AWS,
		log:     p.Log,
		metrics: p.Metrics,
	}.handle)
	return nil
}
