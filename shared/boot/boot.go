// Package boot starts a function's process. It is a function's only code that reads the
// environment. It does no network I/O, so that a cold start costs little.
package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"subwire/shared/dynamo"
	"subwire/shared/metrics"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// Process is what a function is built from.
type Process struct {
	Config
	AWS     aws.Config
	Log     *slog.Logger
	Metrics *metrics.Meter // nil if METRICS says so
}

// Main is the main of a function that needs no product, which is one of
// topology.Functions; run serves until the process ends. Whatever is missing or wrong in
// the environment, or keeps run from serving, is logged in one line and ends the process
// with status 1.
func Main(f topology.Function, run func(Process) error) {
	c, err := Load(f, nil, os.Getenv)
	serve(f, c, err, run)
}

// Product is what is asked of a product here. This package imports none, so functions
// that need none link neither products nor GraphQL.
type Product interface{ Product() topology.Product }

// MainOf is Main for a function of the product that APP names: find returns it.
func MainOf[P Product](f topology.Function, find func(name string) (P, error), run func(Process, P) error) {
	var app P
	c, err := Load(f, func(name string) (p topology.Product, err error) {
		if app, err = find(name); err == nil {
			p = app.Product()
		}
		return p, err
	}, os.Getenv)
	serve(f, c, err, func(p Process) error { return run(p, app) })
}

func serve(f topology.Function, c Config, err error, run func(Process) error) {
	level := topology.LogLevel.In(c.Settings)
	lines := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: lambdaTime})
	log := slog.New(trace.Handler(lines)).With("function", f.Name)
	slog.SetDefault(log)
	if f.MemoryMB > 0 { // a host's is not the function's, and its task says how much it has
		UseMemory(f.MemoryMB)
	}
	if err == nil {
		p := Process{Config: c, Log: log}
		if topology.Metrics.In(c.Settings) {
			stack := cmp.Or(os.Getenv(topology.StackEnv), // a host's: it has no function's name
				strings.TrimSuffix(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "-"+f.Name))
			p.Metrics = metrics.New(stack, os.Stderr, time.Now)
		}
		err = start(p, run)
	}
	if err != nil {
		log.ErrorContext(context.Background(), "cannot start", "error", err)
		os.Exit(1)
	}
}

// lambdaTime gives a line's time the name by which Lambda is sure to know it, in the
// milliseconds that CloudWatch has. Where Lambda finds no time it takes the line's level for
// INFO ("Log-level filtering" in the Lambda Developer Guide, whose example this is).
func lambdaTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 || a.Key != slog.TimeKey || a.Value.Kind() != slog.KindTime {
		return a
	}
	return slog.String("timestamp", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
}

func start(p Process, run func(Process) error) (err error) {
	if p.AWS, err = awsconfig.LoadDefaultConfig(context.Background()); err != nil {
		return err
	}
	return run(p)
}

// Config is the part of the environment that topology gives the function.
type Config struct {
	product topology.Product // without a name for a function that needs none

	tables map[string]string // physical names by logical name
	queues map[string]string // URLs by logical name

	Callback     string // endpoint of the management API
	WebSocketURL string // for clients
	HTTPURL      string // likewise, of GraphQL over HTTP
	Settings     topology.Values
}

// Tables are the physical names of the tables; "" for those the function does not get.
func (c Config) Tables() dynamo.Tables {
	rows := map[string]string{}
	for _, t := range c.product.Tables {
		rows[t.Name] = c.tables[t.Name]
	}
	return dynamo.Tables{
		Connections:   c.tables[topology.Connections.Name],
		Subscriptions: c.tables[topology.Subscriptions.Name],
		Operations:    c.tables[topology.Operations.Name],
		Products:      rows,
	}
}

// Fast reports whether the function announces the events of the rows that it writes.
func (c Config) Fast() bool { return c.product.Fast }

// QueueOnly reports whether no event is delivered without the queue.
func (c Config) QueueOnly() bool { return c.product.QueueOnly }

// Queue is the URL of the queue.
func (c Config) Queue(q topology.Queue) string { return c.queues[q.Name] }

// Load reads what topology gives the function. find returns the product that APP names,
// and is nil for a function that needs none. The error names every variable that is
// missing or wrong.
func Load(f topology.Function, find func(name string) (topology.Product, error),
	getenv func(string) string) (Config, error) {
	settings, errs := topology.Read(f.Settings(), getenv)
	if err := checkHosts(settings); err != nil {
		errs = append(errs, err)
	}
	var p topology.Product
	if find != nil {
		var err error
		name := topology.App.In(settings)
		if p, err = find(name); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q: %w", topology.App.Env, name, err))
		}
	}
	p, err := p.With(settings)
	if err != nil && p.Name != "" { // without a name there is an error already
		errs = append(errs, err)
	}
	c, more := load(p, f.Name, getenv)
	c.Settings = settings
	return c, errors.Join(append(errs, more...)...)
}

// load reads all but the settings.
func load(p topology.Product, function string, getenv func(string) string) (Config, []error) {
	f := p.Function(function)
	c := Config{product: p, tables: map[string]string{}, queues: map[string]string{}}
	var errs []error
	required := func(name string) string {
		value := getenv(name)
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
		return value
	}
	for _, t := range f.Tables {
		c.tables[t.Name] = required(t.Env())
	}
	for _, q := range f.Queues {
		c.queues[q.Name] = required(q.Env)
	}
	if f.Callback {
		c.Callback = required(topology.CallbackEnv)
	}
	if f.WebSocket {
		c.WebSocketURL = required(topology.WebSocketEnv)
	}
	if f.HTTP {
		c.HTTPURL = required(topology.HTTPEnv)
	}
	return c, errs
}
