package console

import (
	"slices"
	"time"

	"subwire/shared/topology"
)

// nodes is the map: the product's topology with what flows through it.
func (r *Recorder) nodes(s State, now time.Time) []Node {
	const clients, gateway = "clients", "gateway"
	per := func(name string) float64 { return r.rate(name).perSecond(now) }
	functions := r.App.Functions()
	all := []Node{
		{Name: clients, Kind: "clients", InFlight: s.Open},
		{Name: gateway, Kind: "gateway", Rate: per(rateIn) + per(rateHTTP), Out: per(rateOut),
			Refused: r.refused, Gone: r.gone},
	}
	to := map[string][]string{clients: {gateway}, gateway: {clients}}
	edge := func(from, at string) {
		if !slices.Contains(to[from], at) {
			to[from] = append(to[from], at)
		}
	}
	for _, f := range topology.Routes {
		edge(gateway, f.Name)
	}
	for _, route := range r.App.HTTPRoutes() {
		edge(gateway, route.Function.Name)
	}
	slices.Sort(to[gateway])
	for _, f := range functions {
		n := Node{Name: f.Name, Kind: "function", Rate: per(f.Name)}
		if i := slices.IndexFunc(s.Functions, func(g Function) bool { return g.Name == f.Name }); i >= 0 {
			g := s.Functions[i]
			n.P50, n.Warm, n.Busy, n.Failed = g.P50, g.Warm, g.Busy, g.Errors
		}
		if f.Callback {
			edge(f.Name, gateway)
		}
		for _, q := range f.Queues {
			if q.Env != "" {
				edge(f.Name, q.Name)
			}
		}
		all = append(all, n)
	}
	for _, m := range r.App.StreamMappings() {
		for _, f := range functions {
			writes := slices.Contains([]string{topology.GraphQL.Name, topology.Message.Name, topology.Publish.Name}, f.Name)
			if writes && slices.ContainsFunc(f.Tables, func(t topology.Table) bool { return t.Name == m.Table.Name }) {
				edge(f.Name, m.Table.Name)
			}
		}
		edge(m.Table.Name, m.Function.Name)
		all = append(all, Node{Name: m.Table.Name, Kind: "table", Rate: per(m.Table.Name), LagMS: r.lags[m.Table.Name]})
	}
	for _, m := range r.App.QueueMappings() {
		edge(m.Queue.Name, m.Function.Name)
	}
	for _, q := range r.App.Queues() {
		n := Node{Name: q.Name, Kind: "queue", Rate: per(r.App.Stack("") + "-" + q.Name)}
		if i := slices.IndexFunc(s.Queues, func(g Queue) bool { return g.Name == q.Name }); i >= 0 {
			n.Depth, n.InFlight = s.Queues[i].Depth, s.Queues[i].InFlight
		}
		if q.DeadLetters != "" {
			edge(q.Name, q.DeadLetters)
		}
		all = append(all, n)
	}
	for i := range all {
		all[i].To = to[all[i].Name]
	}
	return all
}
