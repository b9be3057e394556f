// Local runs the whole pipeline on this machine, with the binaries that are
// deployed, until Ctrl-C: make run.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/timing"
	"subwire/shared/topology"
)

func main() {
	cfg := cloud.Config{Output: os.Stderr}
	flag.StringVar(&cfg.Root, "root", ".", "`folder` of the repository")
	flag.StringVar(&cfg.HTTP, "http", "127.0.0.1:4000", "`address` of the HTTP API; a free port when it is taken")
	flag.StringVar(&cfg.WS, "ws", "127.0.0.1:4001", "`address` of the WebSocket API, likewise")
	flag.StringVar(&cfg.Control, "control", "", "loopback `address` of an API that cuts the gateway and kills functions, for tests; default none")
	mode := flag.String("auth", "anonymous", "`mode`: with jwt, viewers need tokens, which scripts/token gives")
	flag.StringVar(&cfg.Issuer, "issuer", "127.0.0.1:4002", "`address` of the issuer of tokens, likewise")
	flag.StringVar(&cfg.Data, "data", "", "`folder` that keeps data between runs; default in memory")
	plan := flag.String("fault", "", "`plan` of what goes wrong, such as "+faults.Full+"; sender:fail(CHAT) is a bug")
	flag.DurationVar(&cfg.Redelivery, "redelivery", 0, "after which a queue gives out again what a function failed on, in whole seconds; default as on AWS: 3m, and an hour until it is in dead letters")
	flag.Uint64Var(&cfg.Seed, "seed", 0, "of the faults; default random")
	flag.BoolVar(&cfg.Meter, "meter", false, "print at the end what the run would have cost on AWS")
	flag.IntVar(&cfg.Concurrency, "concurrency", 0, "invocations at once in the account: 10 is a fresh account's; default 1,000")
	pace := flag.String("timing", "local", "`profile`: with aws, all takes as long as there, by what is documented or was measured by others")
	verbose := flag.Bool("v", false, "let the functions log everything")
	flag.Parse()
	cfg.Log = slog.New(newLineHandler(os.Stderr))
	if *verbose {
		cfg.Settings = map[string]string{"LOG_LEVEL": "debug"}
	}
	if cfg.Tokens = *mode == "jwt"; !cfg.Tokens && *mode != "anonymous" {
		fmt.Fprintln(os.Stderr, "subwire: -auth is anonymous or jwt")
		os.Exit(2)
	}
	if err := cmp.Or(check(cfg), setFaults(&cfg, *plan), setTiming(&cfg, *pace)); err != nil {
		fmt.Fprintln(os.Stderr, "subwire:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "subwire:", err)
		os.Exit(1)
	}
}

// check finds numbers with which the cloud would run and do nothing.
func check(cfg cloud.Config) error {
	switch {
	case cfg.Concurrency < 0:
		return errors.New("-concurrency is 1 at least")
	case cfg.Redelivery < 0 || cfg.Redelivery%time.Second != 0:
		return errors.New("-redelivery is in whole seconds")
	}
	return nil
}

// setFaults reads the plan. With faults it chooses the seed, unless there is
// one, and tells it, so that the run can be repeated.
func setFaults(cfg *cloud.Config, plan string) (err error) {
	if cfg.Faults, err = faults.Parse(plan); err != nil || cfg.Faults == nil {
		return err
	}
	cfg.Seed = cmp.Or(cfg.Seed, rand.Uint64())
	fmt.Printf("faults: %s\nrepeat with -seed %d\n", cfg.Faults, cfg.Seed)
	return nil
}

// setTiming reads the profile's name.
func setTiming(cfg *cloud.Config, name string) error {
	switch name {
	case "local":
	case "aws":
		cfg.Timing = timing.AWS(cfg.Seed)
	default:
		return errors.New("-timing is local or aws")
	}
	return nil
}

func run(ctx context.Context, cfg cloud.Config) error {
	c, err := cloud.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Stop()
	forget, err := c.Announce(cfg.Root)
	if err != nil {
		return err
	}
	defer forget()
	control, header := "", ""
	if c.ControlURL != "" {
		control = "  control             " + c.ControlURL + "\n"
	}
	if c.IssuerURL != "" {
		control += fmt.Sprintf(withTokens, c.IssuerURL, c.IssuerURL)
		header = "-H 'authorization: Bearer TOKEN' "
	}
	fmt.Printf(banner, strings.TrimSuffix(c.HTTPURL, topology.GraphQLPath)+"/", c.HTTPURL, c.WSURL, control, c.HTTPURL, header)
	<-ctx.Done()
	fmt.Println("\nstopping")
	if c.Meter != nil {
		return billing.USEast1().Of(c.Meter.Usage()).Write(os.Stdout)
	}
	return nil
}

const withTokens = `  tokens              %s   (a viewer needs one, as the header Authorization: Bearer TOKEN)

  go run ./scripts/token -issuer %s -viewer ada -chats lobby
`

const banner = `
Subwire is running. Ctrl-C stops it.

  chat                %s
  GraphQL over HTTP   %s   (GraphiQL in a browser)
  subscriptions       %s   (graphql-transport-ws)
%s
Post a message:

  curl %s %s-H 'content-type: application/json' -d '{"query":"mutation { postMessage(chatId: \"lobby\", content: \"hello\", senderName: \"Ada\") { id } }"}'

`
