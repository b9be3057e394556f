// Package cloud runs all of Subwire on this machine: DynamoDB Local, ElasticMQ, an
// API Gateway emulator, the functions' deployed binaries and the event source
// mappings between them. Like the infrastructure, it is built from topology.
package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/cloudwatch"
	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/meter"
	"subwire/scripts/internal/strictdb"
	"subwire/scripts/internal/timing"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// Config says how to run the cloud. Only Root is required.
type Config struct {
	Root     string            // of the repository, with bin/local/FUNCTION/bootstrap and .cache
	App      topology.Product  // that runs; default products.Default()
	HTTP     string            // address of the HTTP API; default a free port on loopback
	WS       string            // address of the WebSocket API; default a free port on loopback
	Hosts    int               // processes of the other host, which then have the address WS; default none
	Control  string            // loopback address of the control API (see control.go); "" for none
	Tokens   bool              // viewers need tokens; an issuer gives them to everybody
	Issuer   string            // its address; default a free port on loopback
	Data     string            // folder that keeps tables and queues between runs; "" for memory
	Settings map[string]string // environment for the functions, in addition to topology's
	Limits   apigwemu.Limits   // of the gateway; zero fields mean AWS's
	DynamoDB strictdb.Config   // how strict it is; zero fields mean as strict as AWS
	Log      *slog.Logger      // one line per invocation; default none
	Output   io.Writer         // what the functions print, and progress; default none

	Faults     faults.Plan   // what goes wrong; default nothing
	Seed       uint64        // of the faults, and of how long transactions last
	Meter      bool          // count what AWS would charge for
	Canary     time.Duration // how often the cloud tries itself, in whole minutes; 0 for never
	Redelivery time.Duration // how long after a failure something is received again; default when its visibility ends

	// The rest is as strict as AWS unless it says otherwise.
	Concurrency int            // of the account; default 1,000
	Timing      timing.Profile // default this machine's speed
	Thawed      bool           // whether processes keep running between events
	OneShard    bool           // whether the stream has one shard, like DynamoDB Local
	Unguarded   bool           // whether endless loops go on, as if every function allowed them
	Replaces    bool           // whether the functions are to follow another release's, which may have queued events

	Clock *cloudwatch.Clock // of the metrics; default the machine's

	Console *ConsoleConfig // serves the console; nil for none
}

type Cloud struct {
	HTTPURL, WSURL string // for clients; with hosts, WSURL is theirs
	GatewayURL     string // where clients open sockets of API Gateway, which is there besides hosts
	Hosts          *Hosts // nil unless Config asks for them
	ControlURL     string // of the control API; "" if there is none
	IssuerURL      string // of the issuer of tokens; "" if there is none
	Issuer         *issuer.Issuer
	Backend        *backend.Backend
	Gateway        *apigwemu.Gateway
	Functions      map[string]*lambdart.Function // by name
	Tables, Queues map[string]string             // physical names and URLs by logical name
	Injector       *faults.Injector              // of Config.Faults
	Meter          *meter.Meter                  // nil unless Config asks for it
	Watch          *cloudwatch.Watch             // metrics of all parts; see Sample
	Console        *console.Recorder             // nil unless Config asks for it
	ConsoleURL     string                        // of the console; "" if it is not served

	cfg           Config
	lines         lines  // that the functions log
	prefix        string // of the physical names, as in a deployment
	watch         *watch
	deck          *deck        // nil without a console
	dynamoDB, sqs http.Handler // before the servers
	sqsURL        string       // of sqs, or of its server if there is nothing between
	servers       []*http.Server
	run           context.Context    // of the event source mappings
	stop          context.CancelFunc // of the same
	running       sync.WaitGroup     // servers and mappings
}

// Start starts everything and returns when clients can connect. ctx bounds the start
// only: end the cloud with Stop.
func Start(ctx context.Context, cfg Config) (_ *Cloud, err error) {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Output = &lockedWriter{w: cfg.Output}
	if cfg.App.Name == "" {
		if cfg.App, err = products.Named(products.Default()); err != nil {
			return nil, err
		}
	}
	cfg.App.Inputs, cfg.App.CanaryEvery = subwire.TakesEvents(cfg.App), cfg.Canary
	// A function that cannot start with a setting says so itself.
	settings, _ := topology.Read(topology.Settings(), func(env string) string { return cfg.Settings[env] })
	cfg.App, _ = cfg.App.With(settings)
	if cfg.Clock == nil {
		cfg.Clock = &cloudwatch.Clock{}
	}
	c := &Cloud{cfg: cfg, prefix: cfg.App.Stack("") + "-", Functions: map[string]*lambdart.Function{}, stop: func() {},
		Injector: faults.New(cfg.Faults, cfg.Seed)}
	c.startConsole()
	c.Watch = cloudwatch.New(cfg.App.Stack(""))
	c.watch = newWatch(c.Watch, cfg.Clock)
	c.Injector.Throttled = func(operation string, body []byte) { c.watch.refused(c.prefix, operation, body) }
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	c.Backend, err = backend.Start(ctx, backend.Config{Cache: filepath.Join(cfg.Root, ".cache", "jars"), Data: cfg.Data, Progress: cfg.Output})
	if err != nil {
		return nil, err
	}
	if err := c.startProxies(); err != nil {
		return nil, err
	}
	if err := c.createTables(ctx); err != nil {
		return nil, err
	}
	if c.Queues, err = c.Backend.CreateQueues(ctx, cfg.App.Queues(), c.prefix); err != nil {
		return nil, err
	}
	if err := c.startIssuer(); err != nil {
		return nil, err
	}
	ws, err := c.listenWS()
	if err != nil {
		return nil, err
	}
	web, err := listen(cfg.HTTP)
	if err != nil {
		ws.Close()
		return nil, err
	}
	c.GatewayURL = "ws://" + ws.Addr().String() + "/" + topology.LocalStage
	c.WSURL = cmp.Or(c.WSURL, c.GatewayURL)
	c.HTTPURL = "http://" + web.Addr().String() + topology.GraphQLPath
	callback := "http://" + ws.Addr().String() + "/" + topology.LocalStage
	if err := c.startFunctions(callback); err != nil {
		ws.Close()
		web.Close()
		return nil, err
	}
	c.startGateway(ws, web)
	if c.Hosts != nil {
		if err := c.startHosts(ctx, callback); err != nil {
			return nil, err
		}
	}
	if err := c.startControl(); err != nil {
		return nil, err
	}
	if err := c.startMappings(ctx); err != nil {
		return nil, err
	}
	c.startSampling()
	return c, nil
}

// listenWS opens what API Gateway's sockets are on. If there are hosts, they get the
// address that was asked for.
func (c *Cloud) listenWS() (net.Listener, error) {
	if c.cfg.Hosts == 0 {
		return listen(c.cfg.WS)
	}
	front, err := listen(c.cfg.WS)
	if err != nil {
		return nil, err
	}
	if err := c.prepareHosts(front); err != nil {
		front.Close()
		return nil, err
	}
	c.WSURL = "ws://" + front.Addr().String() + topology.GraphQLPath
	return listen("")
}

// listen opens the address, or a free port on loopback if it is "".
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", cmp.Or(address, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	return l, nil
}

// processes is how many processes of one function work at once at most, for the sake
// of this machine. More invocations wait. They are not throttled, as only concurrency
// bounds them on AWS.
const processes = 16

// tokenEnv is the token of a function's own credentials, which it has on AWS, too. Here it
// names the function, so that the console knows whose a post is.
const tokenEnv = "AWS_SESSION_TOKEN"

func (c *Cloud) startFunctions(callback string) error {
	services, err := c.services()
	if err != nil {
		return err
	}
	account, reserve := c.account()
	c.watch.account = account
	for _, f := range c.cfg.App.Functions() {
		env := append(c.environ(f, callback), services...)
		if c.Console != nil {
			env = append(env, tokenEnv+"="+f.Name)
		}
		invoked, output := c.functionUsage(f)
		fn, err := lambdart.New(lambdart.Config{
			Name:      f.Name,
			Physical:  c.prefix + f.Name,
			Binary:    filepath.Join(c.cfg.Root, "bin", "local", f.Name, "bootstrap"),
			Env:       env,
			Timeout:   f.Timeout,
			MemoryMB:  f.MemoryMB,
			Account:   account,
			Reserved:  reserve(f),
			Processes: processes,
			Freeze:    !c.cfg.Thawed,
			LimitCPU:  c.cfg.Timing.LimitCPU,
			ColdStart: c.cfg.Timing.ColdStart,
			Log:       c.cfg.Log,
			Output:    c.lines.of(f.Name, c.toConsole(f.Name, output)),
			Begun:     c.begun(f.Name),
			Invoked:   invoked,
			Throttled: func() { c.watch.refusedBy(f.Name) },
		})
		if err != nil {
			return err
		}
		c.Functions[f.Name] = fn
	}
	return nil
}

// services returns the environment with which the functions reach DynamoDB and SQS;
// if these have faults, through a proxy for each.
func (c *Cloud) services() ([]string, error) {
	env := c.Backend.Environ() // of equal names the last counts
	dynamoDB, err := c.address(c.watchCalls(c.Injector.Before(c.dynamoDB)))
	if err != nil {
		return nil, err
	}
	sqs := c.sqsURL
	if c.cfg.Faults.NeedsProxies() || c.Console != nil {
		if sqs, err = c.address(c.watchCalls(c.Injector.Before(c.sqs))); err != nil {
			return nil, err
		}
	}
	return append(env, "AWS_ENDPOINT_URL_DYNAMODB="+dynamoDB, "AWS_ENDPOINT_URL_SQS="+sqs), nil
}

// function returns the function by name, with its faults.
func (c *Cloud) function(name string) faults.Invoker { return c.Injector.Wrap(name, c.Functions[name]) }

// environ is the environment that topology gives the function.
func (c *Cloud) environ(f topology.Function, callback string) []string {
	var env []string
	for _, t := range f.Tables {
		env = append(env, t.Env()+"="+c.Tables[t.Name])
	}
	for _, q := range f.Queues {
		env = append(env, q.Env+"="+c.Queues[q.Name])
	}
	if f.Callback {
		env = append(env, topology.CallbackEnv+"="+callback)
	}
	if f.WebSocket {
		env = append(env, topology.WebSocketEnv+"="+c.WSURL)
	}
	if f.HTTP {
		env = append(env, topology.HTTPEnv+"="+c.HTTPURL)
	}
	return append(env, c.settings(f)...)
}

// settings are those of the function, as the environment has them.
func (c *Cloud) settings(f topology.Function) (env []string) {
	for _, s := range f.Settings() {
		value := s.Default
		switch s {
		case topology.App.Setting:
			value = c.cfg.App.Name
		case topology.LogLevel.Setting:
			if c.debugs(f.Name) {
				value = "debug"
			}
		case topology.MaxCostPerMinute.Setting: // nobody pays here, and all clients have one address
			value = "0"
		}
		value = cmp.Or(c.cfg.Settings[s.Env], value)
		if s == topology.Claims.Setting {
			value = c.cfg.App.AllClaims(value)
		}
		env = append(env, s.Env+"="+value)
	}
	return env
}

func (c *Cloud) startGateway(ws, web net.Listener) {
	route := func(key string) apigwemu.Invoker { return c.function(topology.Routes[key].Name) }
	c.Gateway = apigwemu.New(apigwemu.Config{
		Connect: route("$connect"), Message: route("$default"), Disconnect: route("$disconnect"),
		Mocks:  topology.Mocks,
		HTTP:   func(f topology.Function) apigwemu.Invoker { return c.function(f.Name) },
		Signer: apigwemu.Signer{AccessKey: backend.AccessKey, SecretKey: backend.SecretKey, Region: backend.Region},
		Stage:  topology.LocalStage, Routes: c.cfg.App.HTTPRoutes(), Limits: c.cfg.Limits, Log: c.cfg.Log,
		Usage: c.gatewayUsage(), PostLatency: c.cfg.Timing.Post,
	})
	c.Gateway.SetFaults(c.Injector.Gateway())
	c.serve(c.Gateway.Listen(ws), c.Gateway.WebSocket())
	c.serve(web, c.withConsole(web, c.Gateway.HTTP()))
}

func (c *Cloud) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	c.servers = append(c.servers, s)
	c.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.cfg.Log.Error("server stopped", "address", l.Addr(), "error", err)
		}
	})
}

// Announce notes in the folder that this cloud is running, for commands with --local.
// Call forget when it ends.
func (c *Cloud) Announce(folder string) (forget func(), err error) {
	settings, errs := topology.Read(topology.Settings(), func(env string) string { return c.cfg.Settings[env] })
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	d := c.deployment()
	d.FanoutGroups = topology.FanoutGroups.In(settings)
	return deployment.Save(folder, c.Backend, d)
}

// deployment is how commands see the cloud.
func (c *Cloud) deployment() deployment.Deployment {
	return deployment.Deployment{App: c.cfg.App, AWS: c.Backend.AWS(), HTTPURL: c.HTTPURL, WSURL: c.WSURL, GatewayURL: c.GatewayURL,
		ControlURL: c.ControlURL, Tables: c.Tables, Queues: c.Queues}
}

// stopTime bounds how long sockets and their work take to end.
const stopTime = 3 * time.Second

// lockedWriter lets all functions write to w, which may be nil.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	if l.w == nil {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Stop ends everything in reverse order and returns when no child is left.
func (c *Cloud) Stop() {
	if c.Hosts != nil {
		c.Hosts.stop()
	}
	if c.Gateway != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err := c.Gateway.Close(ctx); err != nil {
			c.cfg.Log.Warn("gateway closed late", "error", err)
		}
	}
	for _, s := range c.servers {
		s.Close()
	}
	c.stop()
	for _, f := range c.Functions {
		f.Stop()
	}
	c.running.Wait()
	if c.Backend != nil {
		c.Backend.Stop()
	}
}
