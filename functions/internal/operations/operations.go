// Package operations builds what the functions that run clients' operations have in
// common.
package operations

import (
	"subwire/functions/internal/fast"
	"subwire/shared/allowance"
	"subwire/shared/auth"
	"subwire/shared/boot"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

// Operations is what an operation needs, from the token to the store.
type Operations struct {
	Store     *dynamo.Store
	Executor  *gql.Executor
	Auth      *auth.Authenticator
	Checks    *queue.Publisher
	Documents *trusted.Documents   // nil: any may run
	Allowance *allowance.Allowance // nil: nobody is counted
	Audiences *allowance.Audiences
}

// New builds them for the product from the settings, with these limits. It does no network
// I/O. Errors are those of settings that no function can start with.
func New(p boot.Process, app *subwire.App, limits gql.Limits) (o Operations, err error) {
	cost := topology.MaxCostPerMinute.In(p.Settings)
	o.Store = dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	o.Allowance, o.Audiences = allowance.New(o.Store, cost, p.Log), allowance.NewAudiences(o.Store, cost)
	o.Checks = queue.New(queue.NewClient(p.AWS), p.Queue(topology.ConnectionChecks))
	revoker := connection.Revoker{Quotas: o.Store, Checks: o.Checks}
	schema, err := app.Open(subwire.Env{
		Tables:    o.Store,
		Anonymous: topology.Auth.In(p.Settings) == topology.Anonymous,
		Audiences: o.Audiences,
		Log:       p.Log,
		Fast:      fast.New(p, app, o.Store),
		Revoke:    revoker.Revoke,
	})
	if err != nil {
		return o, err
	}
	schema.Limits, schema.Log = limits, p.Log
	schema.Introspection = topology.Introspection.In(p.Settings)
	if o.Executor, err = gql.New(schema); err != nil {
		return o, err
	}
	if o.Auth, err = auth.New(auth.ConfigOf(p.Settings, app.Product().Claims), p.AWS); err != nil {
		return o, err
	}
	o.Documents, err = trusted.Read(topology.TrustedDocuments.In(p.Settings))
	return o, err
}
