// Package boot starts a function's process. It is the only code of a function
// that reads the environment. It does no network I/O, so that a cold start
// costs as little as it can.
package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"subwire/shared/dynamo"
	"subwire/shared/edge"
	"subwire/shared/origins"
	"subwire/shared/topology"
	"subwire/shared/transportws"
)

// Process is what a function's main builds its parts from.
type Process struct {
	Config
	AWS aws.Config
	Log *slog.Logger
}

// Start reads the environment of the function. What is missing or wrong is
// logged in full, and ends the process.
func Start(f topology.Function) Process {
	c, err := Load(f, os.Getenv)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel})).With("function", f.Name)
	slog.SetDefault(log)
	var cfg aws.Config
	if err == nil {
		cfg, err = awsconfig.LoadDefaultConfig(context.Background())
	}
	if err != nil {
		log.Error("cannot start", "error", err)
		os.Exit(1)
	}
	return Process{Config: c, AWS: cfg, Log: log}
}

// Config is a function's environment. Fields that the function is not given
// in topology are zero.
type Config struct {
	tables map[string]string // physical names by logical name
	queues map[string]string // URLs by logical name

	Callback         string // endpoint of the management API
	WebSocketURL     string // for clients
	InitTimeout      time.Duration
	AllowedOrigins   []string // as browsers write them; "*" alone for any
	RequireOrigin    bool
	Edge             edge.Guard
	Auth             Auth
	InitMembers      []string // in lower case
	MaxConnections   int
	MaxSubscriptions int
	FanoutGroups     int
	SenderWorkers    int
	Introspection    bool

	Limits              topology.Limits
	MaxOfTopic          int
	MaxReplayBytes      int
	MaxOperationIDBytes int
	MaxInitBytes        int
	MaxFramesPerSecond  int
	MaxCostPerMinute    int
	TrustedDocuments    string // path, or "" for none

	GraphiQL bool
	LogLevel slog.Level
}

// Tables are the physical names of the tables; "" for those that the function
// is not given.
func (c Config) Tables() dynamo.Tables {
	return dynamo.Tables{
		Connections:   c.tables[topology.Connections.Name],
		Subscriptions: c.tables[topology.Subscriptions.Name],
		Operations:    c.tables[topology.Operations.Name],
		Messages:      c.tables[topology.Messages.Name],
	}
}

// Queue is the URL of the queue.
func (c Config) Queue(q topology.Queue) string { return c.queues[q.Name] }

// Load reads what topology gives the function. Its error names every variable
// that is missing or wrong.
func Load(f topology.Function, getenv func(string) string) (Config, error) {
	c := Config{tables: map[string]string{}, queues: map[string]string{}}
	var errs []error
	required := func(name string) string {
		value := getenv(name)
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
		return value
	}
	for _, t := range f.Tables {
		c.tables[t.Name] = required(t.Env)
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
	for _, s := range f.Settings {
		value := getenv(s.Env)
		if value == "" {
			value = s.Default
		}
		if err := c.set(s, value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q: %w", s.Env, value, err))
		}
	}
	return c, errors.Join(errs...)
}

// set reads one setting.
func (c *Config) set(s topology.Setting, value string) (err error) {
	switch s {
	case topology.InitTimeout:
		c.InitTimeout, err = duration(value, time.Second, 14*time.Minute)
	case topology.AllowedOrigins:
		c.AllowedOrigins, err = origins.ParseList(value)
	case topology.RequireOrigin:
		c.RequireOrigin, err = strconv.ParseBool(value)
	case topology.EdgeSecret:
		c.Edge, err = edge.Parse(value)
	case topology.InitMembers:
		c.InitMembers, err = members(value)
	case topology.MaxConnections:
		c.MaxConnections, err = number(value, 0, 1000) // their ids are one item
	case topology.MaxSubscriptions:
		c.MaxSubscriptions, err = number(value, 1, 1000)
	case topology.FanoutGroups:
		if c.FanoutGroups, err = number(value, 1, 256); err == nil && c.FanoutGroups&(c.FanoutGroups-1) != 0 {
			err = errors.New("it must be a power of two")
		}
	case topology.SenderWorkers:
		c.SenderWorkers, err = number(value, 1, 450) // twice as many sockets; a Lambda environment has 1,024 file descriptors
	case topology.Introspection:
		c.Introspection, err = strconv.ParseBool(value)
	case topology.GraphiQL:
		c.GraphiQL, err = strconv.ParseBool(value)
	case topology.LogLevel:
		err = c.LogLevel.UnmarshalText([]byte(value))
	case topology.MaxOfTopic:
		c.MaxOfTopic, err = number(value, 1, 1000)
	case topology.MaxReplayBytes:
		c.MaxReplayBytes, err = number(value, topology.MaxMessageBytes, 64<<20)
	case topology.MaxOperationIDBytes:
		c.MaxOperationIDBytes, err = number(value, 1, transportws.MaxIDBytes)
	case topology.MaxInitBytes:
		c.MaxInitBytes, err = number(value, 2, topology.MaxFrameBytes)
	case topology.MaxFramesPerSecond:
		c.MaxFramesPerSecond, err = number(value, 1, 10_000)
	case topology.MaxCostPerMinute:
		c.MaxCostPerMinute, err = number(value, 0, 1_000_000_000)
	case topology.TrustedDocuments:
		c.TrustedDocuments = value
	default:
		return c.setLimit(s, value)
	}
	return err
}

// setLimit reads one of the settings of topology.Limits.
func (c *Config) setLimit(s topology.Setting, value string) (err error) {
	switch s {
	case topology.MaxDocumentBytes:
		c.Limits.DocumentBytes, err = number(value, 1, topology.MaxBodyBytes)
	case topology.MaxTokens:
		c.Limits.Tokens, err = number(value, 1, 100_000)
	case topology.MaxDepth:
		c.Limits.Depth, err = number(value, 1, 100)
	case topology.MaxFields:
		c.Limits.Fields, err = number(value, 1, 100_000)
	case topology.MaxAliases:
		c.Limits.Aliases, err = number(value, 0, 100_000)
	case topology.MaxDirectives:
		c.Limits.Directives, err = number(value, 0, 100_000)
	case topology.MaxListItems:
		c.Limits.ListItems, err = number(value, 0, 100_000)
	case topology.MaxComplexity:
		c.Limits.Complexity, err = number(value, 1, 10_000_000)
	case topology.MaxVariablesBytes:
		c.Limits.VariablesBytes, err = number(value, 2, topology.MaxBodyBytes)
	case topology.MaxMutations:
		c.Limits.Mutations, err = number(value, 1, 100)
	case topology.MaxReadBytes:
		c.Limits.ReadBytes, err = number(value, 16<<10, 100<<20)
	case topology.MaxResultBytes:
		c.Limits.ResultBytes, err = number(value, 1000, topology.LargestResult)
	case topology.MaxSubscriptionBytes:
		c.Limits.SubscriptionBytes, err = number(value, 100, 100<<10) // an item has 400 KB
	case topology.MaxSubscriptionFields:
		c.Limits.SubscriptionFields, err = number(value, 1, 100_000)
	default:
		return c.Auth.set(s, value)
	}
	return err
}

func number(value string, min, max int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < min || n > max {
		return 0, fmt.Errorf("it must be a number from %d to %d", min, max)
	}
	return n, nil
}

func duration(value string, min, max time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < min || d > max {
		return 0, fmt.Errorf("it must be a time from %s to %s, such as 10s", min, max)
	}
	return d, nil
}

func list(value string) []string {
	var out []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
