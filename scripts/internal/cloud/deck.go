package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/console"
	"subwire/scripts/internal/faults"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// deck is the console of a cloud: what it shows, and what it can do.
type deck struct {
	*Cloud
	app         *subwire.App // nil if the list of products has it not
	subscribers subscribers

	mu      sync.Mutex // guards what is looked up once in a while
	looked  time.Time
	queues  []console.Queue
	alarms  []string
	held    []console.Connection // sockets of hosts
	notes   []string
	dead    time.Time // when there were dead letters
	posting bool      // whether a run of posts is going on
}

// settling is how long dead letters that are sent again may be in no queue that counts them.
const settling = 10 * time.Second

// lookEvery is how often queues and alarms are looked at, while somebody asks.
const lookEvery = time.Second

// State implements console.Source.
func (d *deck) State(ctx context.Context) console.State {
	d.look(ctx)
	var s console.State
	d.mu.Lock()
	s.Queues, s.Alarms, s.Notes = slices.Clone(d.queues), slices.Clone(d.alarms), slices.Clone(d.notes)
	s.Connections, s.Open = slices.Clone(d.held), len(d.held)
	d.mu.Unlock()
	if d.Meter != nil {
		usage := d.Meter.Usage()
		bill := billing.USEast1().Of(usage)
		for _, l := range bill {
			s.Bill = append(s.Bill, console.Cost{Service: l.Service, What: l.What, Units: l.Quantity, USD: l.USD()})
		}
		if s.USD = bill.Total() + bill.Extra(); usage.Gateway.Sent > 0 {
			s.PerMillion = bill.Total() / usage.Gateway.Sent * 1e6
		}
	}
	for _, f := range d.cfg.App.Functions() {
		warm, busy := d.Functions[f.Name].Processes()
		s.Functions = append(s.Functions, console.Function{Name: f.Name, Warm: warm, Busy: busy})
	}
	s.Faults, s.Seed, s.Down, s.Subscribers = d.faults(), d.cfg.Seed, d.Gateway.Down(), d.subscribers.count()
	return d.Console.State(s)
}

// look refreshes what is asked of others.
func (d *deck) look(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.looked) < lookEvery {
		return
	}
	d.notes = nil
	queues, err := console.Queues(ctx, sqs.NewFromConfig(d.Backend.AWS()), d.cfg.App, d.Queues)
	if err != nil {
		d.notes = append(d.notes, "The queues could not be read: "+err.Error())
	} else {
		d.queues = queues
		if slices.ContainsFunc(queues, func(q console.Queue) bool { return q.From != "" && q.Depth+q.InFlight > 0 }) {
			d.dead = time.Now()
		} else if time.Since(d.dead) > settling {
			d.Console.DeadEmpty(d.dead)
		}
	}
	if d.alarms, err = d.Alarms(d.cfg.Clock.Now()); err != nil {
		d.notes = append(d.notes, "The alarms could not be read: "+err.Error())
	}
	if d.held, err = d.ofHosts(ctx); err != nil {
		d.notes = append(d.notes, "The hosts' connections could not be read: "+err.Error())
	}
	d.looked = time.Now()
}

// gatewayDown is the one fault that strikes no call: every socket loses its network.
const gatewayDown = "gateway:down"

// faults lists the switches.
func (d *deck) faults() []console.Fault {
	on, met := d.Injector.On(), d.Injector.Met()
	all := faults.All()
	if topic := d.Console.LatestTopic(); topic != "" {
		all = append(all, faults.Bug(topic))
	}
	for _, f := range on {
		if !slices.ContainsFunc(all, func(g faults.Fault) bool { return g.Name() == f.Name() }) {
			all = append(all, f)
		}
	}
	const what = "the network of every socket is away; each is cut"
	list := []console.Fault{{Name: gatewayDown, What: what, On: d.Gateway.Down()}}
	for _, f := range all {
		s := console.Fault{Name: f.Name(), What: f.What(), Chance: f.Chance, Met: met[f.Point+":"+f.Kind]}
		if i := slices.IndexFunc(on, func(g faults.Fault) bool { return g.Name() == f.Name() }); i >= 0 {
			s.On, s.Chance = true, on[i].Chance
		}
		list = append(list, s)
	}
	return list
}

// Trace implements console.Source.
func (d *deck) Trace(_ context.Context, event string) (console.Trace, bool) {
	t, ok := d.Console.Trace(event, billing.USEast1().Message.Of(1))
	if t.Request != nil {
		linked := t.Request.WithLinks(d.HTTPURL)
		t.Request = &linked
	}
	return t, ok
}

// Log implements console.Source.
func (d *deck) Log(_ context.Context, connection string) (console.Log, bool) {
	if c, ok := d.heldConnection(connection); ok {
		return console.Log{Connection: c}, true // nobody hears what is said
	}
	return d.Console.Log(connection)
}

// actions are all that the page can do here.
func (d *deck) actions() console.Actions {
	a := console.Actions{Post: d.post, Again: d.again, Cut: d.cut, Revoke: d.revoke, Kill: d.kill, Fault: d.fault,
		Heal: d.heal}
	if d.app != nil && d.example().Subscribe != "" {
		a.Subscribers = d.subscribe
	}
	if given := d.cfg.Console; given.Letters != nil && given.Redrive != nil {
		a.Letters = func(ctx context.Context, queue string) ([]console.Letter, error) {
			return given.Letters(ctx, d.deployment(), queue)
		}
		a.Redrive = func(ctx context.Context, queue string) (int, error) {
			return given.Redrive(ctx, d.deployment(), queue)
		}
	}
	return a
}

func (d *deck) again(ctx context.Context, event string) error {
	t, ok := d.Console.Trace(event, 0)
	switch {
	case !ok:
		return console.NotFound("this event is not known, or no longer")
	case t.Request == nil:
		return console.Refused("no mutation is known that wrote this event")
	case !t.Request.Whole():
		return console.Refused("the request had a secret or was long, so not all of it was kept")
	}
	return d.send(ctx, t.Request.Document, t.Request.Variables)
}

func (d *deck) cut(ctx context.Context, connection string) error {
	if at, ok := node.Parse(connection); ok {
		return d.closeHeld(ctx, at)
	}
	if !d.Gateway.Cut(connection) {
		return console.NotFound("this connection is not open")
	}
	return nil
}

func (d *deck) revoke(ctx context.Context, connectionID string) (int, error) {
	viewer, known := d.Console.ViewerOf(connectionID)
	if c, ok := d.heldConnection(connectionID); ok {
		viewer, known = c.Viewer, true
	}
	switch {
	case !known:
		return 0, console.NotFound("this connection is not known, or no longer")
	case viewer == "":
		return 0, console.Refused("nobody can be revoked: this connection has no viewer")
	}
	where := d.deployment()
	r := connection.Revoker{
		Quotas: dynamo.New(dynamo.NewClient(where.AWS),
			dynamo.Tables{Connections: where.Tables[topology.Connections.Name]}),
		Checks: queue.New(sqs.NewFromConfig(where.AWS), where.Queues[topology.ConnectionChecks.Name]),
	}
	return r.Revoke(ctx, viewer)
}

func (d *deck) kill(_ context.Context, function string) error {
	f := d.Functions[function]
	switch {
	case f == nil:
		return console.NotFound("no function has this name")
	case !f.Kill():
		return console.Refused("no process of it runs now")
	}
	return nil
}

func (d *deck) fault(_ context.Context, f console.FaultRequest) error {
	if f.Name == gatewayDown {
		d.setDown(f.On)
		return nil
	}
	text := f.Name
	if !strings.HasSuffix(text, ")") { // a bug has no chance
		if f.Chance == 0 {
			for _, known := range d.faults() {
				if known.Name == f.Name {
					f.Chance = known.Chance
				}
			}
		}
		text += fmt.Sprintf("@%g", f.Chance)
	}
	plan, err := faults.Parse(text)
	if err == nil && len(plan) != 1 {
		err = errors.New("it is not one fault")
	}
	if err != nil {
		return console.Refused(err.Error())
	}
	d.Injector.Switch(plan[0], f.On)
	return nil
}

func (d *deck) heal(context.Context) error {
	d.Injector.Heal()
	d.setDown(false)
	return nil
}
