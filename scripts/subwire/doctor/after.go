package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"subwire/scripts/internal/deployment"
	"subwire/shared/canary"
	"subwire/shared/products"
	"subwire/shared/topology"
)

// tableState is what is known of a table.
type tableState struct {
	status     string // ACTIVE, or another
	ttl        string // attribute by which rows expire; "" if none do, or if ttlUnknown
	ttlUnknown bool   // whether nobody asked how rows expire
	view       string // what its stream shows; "" without a stream
	stream     string // ARN of its stream
}

// mappingState is an event source mapping.
type mappingState struct{ state, lastResult string }

// functionState is what is known of a function.
type functionState struct {
	state, update string // Active, Successful, or others
	changed       string // when, as Lambda writes it
}

// cloudAPI is what is asked of a running deployment. The local cloud has no mappings,
// functions and alarms to ask for: these are nil.
type cloudAPI struct {
	table    func(ctx context.Context, name string) (tableState, error)
	queue    func(ctx context.Context, url string) (arn string, messages int, err error)
	mappings func(ctx context.Context, source string) ([]mappingState, error)
	function func(ctx context.Context, name string) (functionState, error)
	alarms   func(ctx context.Context, prefix string) (all int, alarming []string, err error)
	try      func(ctx context.Context) (canary.Times, error) // nil for a product that has none
}

// prefix begins the deployment's physical names.
func prefix(d deployment.Deployment) string {
	return strings.TrimSuffix(d.Tables[topology.Connections.Name], topology.Connections.Name)
}

func checkTables(ctx context.Context, d deployment.Deployment, c cloudAPI) (all []result, streams map[string]string) {
	streams = map[string]string{}
	for _, t := range d.App.AllTables() {
		check := "table " + t.Name
		is, err := c.table(ctx, d.Tables[t.Name])
		if err != nil {
			all = append(all, unknown(check, err))
			continue
		}
		streams[t.Name] = is.stream
		const help = "deploy again, and look for who changed it"
		view := ""
		if t.Stream {
			view = map[bool]string{false: "NEW_IMAGE", true: "NEW_AND_OLD_IMAGES"}[t.OldImages]
		}
		switch {
		case is.status != "ACTIVE":
			all = append(all, fault(check, "it is %s", is.status))
		case is.ttl != t.TTL && !is.ttlUnknown:
			all = append(all, fault(check, "its rows expire by %q, and should by %q: %s", is.ttl, t.TTL, help))
		case is.view != view:
			all = append(all, fault(check, "its stream shows %q, and should show %q: %s", is.view, view, help))
		default:
			all = append(all, fine(check, "active"))
		}
	}
	return all, streams
}

// checkQueues is about dead letters. It also returns the queues' ARNs.
func checkQueues(ctx context.Context, d deployment.Deployment, c cloudAPI) (all []result, arns map[string]string) {
	arns = map[string]string{}
	for _, q := range d.App.Queues() {
		check := "queue " + q.Name
		arn, messages, err := c.queue(ctx, d.Queues[q.Name])
		switch arns[q.Name] = arn; {
		case err != nil:
			all = append(all, unknown(check, err))
		case q.Late == 0 && messages > 0:
			all = append(all, fault(check, "it has dead letters: %d; see them with subwire dead list", messages))
		default:
			all = append(all, fine(check, "messages: %d", messages))
		}
	}
	return all, arns
}

// checkMappings asks by their sources, as they may invoke an alias.
func checkMappings(ctx context.Context, c cloudAPI, d deployment.Deployment,
	streams, queues map[string]string) (all []result) {
	sources := map[string]string{}
	for _, m := range d.App.StreamMappings() {
		sources["stream of "+m.Table.Name] = streams[m.Table.Name]
	}
	for _, m := range d.App.QueueMappings() {
		sources["queue "+m.Queue.Name] = queues[m.Queue.Name]
	}
	for _, source := range sorted(sources) {
		if arn := sources[source]; arn != "" { // or else it was said above
			all = append(all, checkMapping(ctx, c, "mapping of "+source, arn))
		}
	}
	return all
}

func checkMapping(ctx context.Context, c cloudAPI, check, arn string) result {
	found, err := c.mappings(ctx, arn)
	switch {
	case err != nil:
		return unknown(check, err)
	case len(found) == 0:
		return fault(check, "nothing reads it: deploy again")
	}
	for _, m := range found {
		if m.state != "Enabled" {
			return fault(check, "it is %s: enable it, or deploy again", m.state)
		}
		if strings.HasPrefix(m.lastResult, "PROBLEM") {
			return fault(check, "%s; read the function's log", m.lastResult)
		}
	}
	return fine(check, "enabled")
}

func checkFunctions(ctx context.Context, d deployment.Deployment, c cloudAPI) (all []result) {
	for _, f := range d.App.Functions() {
		check := "function " + f.Name
		is, err := c.function(ctx, prefix(d)+f.Name)
		switch {
		case err != nil:
			all = append(all, unknown(check, err))
		case is.state != "Active" || is.update != "Successful":
			all = append(all, fault(check, "it is %s, and its last update %s: deploy again", is.state, is.update))
		default:
			all = append(all, fine(check, "changed %s", is.changed))
		}
	}
	return all
}

func checkAlarms(ctx context.Context, d deployment.Deployment, c cloudAPI) result {
	const check = "alarms"
	all, alarming, err := c.alarms(ctx, prefix(d))
	switch {
	case err != nil:
		return unknown(check, err)
	case all == 0:
		return doubt(check, "there are none: nobody hears of what goes wrong; deploy with -c alarms")
	case len(alarming) > 0:
		return fault(check, "%s; each one's description names its section of docs/operations.md",
			strings.Join(alarming, ", "))
	}
	return fine(check, "none of %d", all)
}

// tryTime bounds the canary, which may meet cold functions.
const tryTime = 30 * time.Second

func checkCanary(ctx context.Context, c cloudAPI, d deployment.Deployment) result {
	const check = "canary"
	if c.try == nil {
		return doubt(check, "product %s has none (App.Canary), so no event was tried", d.App.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	took, err := c.try(ctx)
	if err != nil {
		return fault(check, "%v; see \"Canary\" in docs/operations.md", err)
	}
	const shown = 100 * time.Microsecond
	return fine(check, "connected in %s; the event came %s after its post",
		took.Connect.Round(shown), took.Event.Round(shown))
}

// examine runs all checks of a running deployment.
func examine(ctx context.Context, d deployment.Deployment, c cloudAPI) []func() []result {
	var streams, queues map[string]string
	checks := []func() []result{
		func() (all []result) { all, streams = checkTables(ctx, d, c); return all },
		func() (all []result) { all, queues = checkQueues(ctx, d, c); return all },
	}
	if c.mappings != nil {
		checks = append(checks,
			func() []result { return checkMappings(ctx, c, d, streams, queues) },
			func() []result { return checkFunctions(ctx, d, c) },
			func() []result { return []result{checkAlarms(ctx, d, c)} })
	}
	return append(checks, func() []result { return []result{checkCanary(ctx, c, d)} })
}

// tryOf is the canary of a deployment, or nil if its product has none.
func tryOf(d deployment.Deployment, t canary.Try) (func(context.Context) (canary.Times, error), error) {
	app, err := products.App(d.App.Name)
	if err != nil {
		return nil, fmt.Errorf("product %s: %w", d.App.Name, err)
	}
	if app.Canary.Post == "" {
		return nil, nil
	}
	t.WebSocketURL, t.HTTPURL = d.WSURL, d.HTTPURL
	t.Subscribe, t.Post = app.Canary.Subscribe, app.Canary.Post
	return t.Run, nil
}
