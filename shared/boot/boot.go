// Package boot starts a function's process. It is a function's only code that reads the
// environment. It does no network I/O, so that a cold start costs little.
package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// Process is what a function is built from.
type Process struct {
	Config
	AWS aws.Config
	Log *slog.Logger
}

// Main is the main of a function, which is one of topology.Functions; run serves until
// the process ends. Whatever is missing or wrong in the environment, or keeps run from
// serving, is logged in one line and ends the process with status 1.
func Main(f topology.Function, run func(Process) error) {
	c, err := Load(f, os.Getenv)
	level := topology.LogLevel.In(c.Settings)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("function", f.Name)
	slog.SetDefault(log)
	if err == nil {
		err = start(Process{Config: c, Log: log}, run)
	}
	if err != nil {
		log.Error("cannot start", "error", err)
		os.Exit(1)
	}
}

func start(p Process, run func(Process) error) (err error) {
	if p.AWS, err = awsconfig.LoadDefaultConfig(context.Background()); err != nil {
		return err
	}
	return run(p)
}

// Config is the part of the environment that topology gives the function.
type Config struct {
	App *subwire.App // which the function serves; not yet open

	product topology.Product

	tables map[string]string // physical names by logical name
	queues map[string]string // URLs by logical name

	Callback     string // endpoint of the management API
	WebSocketURL string // for clients
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

// Queue is the URL of the queue.
func (c Config) Queue(q topology.Queue) string { return c.queues[q.Name] }

// Load reads what topology gives the function with the product that APP names. Its error
// names every variable that is missing or wrong.
func Load(f topology.Function, getenv func(string) string) (Config, error) {
	settings, errs := topology.Read(f.Settings(), getenv)
	name := topology.App.In(settings)
	app, err := products.App(name)
	if err != nil {
		errs = append(errs, fmt.Errorf("%s is %q: %w", topology.App.Env, name, err))
		app = subwire.New(name)
	}
	c, more := load(app.Product(), f.Name, getenv)
	c.App, c.Settings = app, settings
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
	return c, errs
}
