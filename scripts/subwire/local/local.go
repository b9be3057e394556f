// Package local is subwire local: it runs the whole pipeline on this machine, with
// the deployed binaries, until Ctrl-C.
package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/timing"
	"subwire/scripts/subwire/cli"
	"subwire/scripts/subwire/dead"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// options are the flags that are not the cloud's own settings.
type options struct {
	app, auth, faults, timing string
	settings                  []string // NAME=VALUE
	verbose, console, host    bool
	try                       subwire.Example // of the app
}

func Command() *cobra.Command {
	cfg, o := cloud.Config{}, options{}
	cmd := &cobra.Command{Use: "local", Short: "Run the whole pipeline on this machine until Ctrl-C", Args: cobra.NoArgs,
		Long: `Run the whole pipeline on this machine, with the binaries that are deployed,
until Ctrl-C. make run builds them before.`,
		Example: "  subwire local --data .data -v\n  subwire local --seed 1 --fault " + faults.Full,
		PreRunE: func(*cobra.Command, []string) error { return o.set(&cfg) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			release, err := deployment.Hold(cfg.Root)
			if err != nil {
				return err
			}
			defer release()
			if err := findAddresses(&cfg, cmd.Flags(), cmd.OutOrStdout()); err != nil {
				return err
			}
			cfg.Output = cmd.ErrOrStderr()
			cfg.Log = slog.New(newLineHandler(cfg.Output, o.verbose))
			if !o.verbose {
				cfg.Output = onlyTrouble{cfg.Output}
			}
			out := &lines{out: cmd.OutOrStdout()}
			if o.console {
				cfg.Meter = true
				cfg.Console = &cloud.ConsoleConfig{Tell: out.tell, Letters: dead.Letters, Redrive: dead.Redrive}
			}
			return run(cmd.Context(), cfg, o.try, out)
		}}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Root, "root", ".", "`FOLDER` of the repository")
	flags.StringVar(&o.app, "app", products.Default(), "`NAME` of the product to run")
	flags.StringVar(&cfg.HTTP, "http", "127.0.0.1:4000", "`ADDRESS` of the HTTP API; by default a free port if 4000 is taken")
	flags.StringVar(&cfg.WS, "ws", "127.0.0.1:4001", "`ADDRESS` of the WebSocket API, likewise")
	flags.BoolVar(&o.host, "host", false, "let a process of our own, a host, hold the sockets at --ws, instead of API Gateway;\nAPI Gateway's stay beside it")
	flags.IntVar(&cfg.Hosts, "hosts", 0, "`N` hosts, behind a load balancer; default none, or one with --host")
	flags.StringVar(&cfg.Control, "control", "",
		"loopback `ADDRESS` of an API that breaks the cloud, for tests, and serves commands; default a free port")
	flags.StringVar(&o.auth, "auth", topology.Anonymous, "`MODE`: with jwt, viewers need tokens (subwire token)")
	flags.StringVar(&cfg.Issuer, "issuer", "127.0.0.1:4002", "`ADDRESS` of the issuer of tokens, likewise")
	flags.StringVar(&cfg.Data, "data", "", "`FOLDER` that keeps data between runs; default in memory")
	flags.StringVar(&o.faults, "fault", "", "`PLAN` of what goes wrong, such as the example's; sender:fail(TOPIC) is a bug,\n"+
		"which a topic of few meets with --setting DIRECT=0 only: stream delivers its events")
	flags.StringArrayVar(&o.settings, "setting", nil, "`NAME=VALUE` of the functions, if it is not the default (docs/settings.md)")
	flags.DurationVar(&cfg.Redelivery, "redelivery", 0,
		"`TIME` after which a queue gives out again what a function failed on, in whole seconds;\n"+
			"default as on AWS: 3m, and an hour until it is in dead letters")
	flags.Uint64Var(&cfg.Seed, "seed", 0, "`SEED` of the faults; default random")
	flags.DurationVar(&cfg.Canary, "canary", 0,
		"`TIME` after which the cloud tries itself again, in whole minutes; default never")
	flags.BoolVar(&o.console, "console", true, "serve the console on the HTTP API's address, if that is loopback,\n"+
		"and print a line for each event; it has --meter")
	flags.BoolVar(&cfg.Meter, "meter", false, "print at the end what the run would have cost on AWS")
	flags.IntVar(&cfg.Concurrency, "concurrency", 0, "`N` invocations at once: 10 is a fresh account's; default 1,000")
	flags.StringVar(&o.timing, "timing", "local",
		"`PROFILE`: with aws, all takes as long as there, by what is documented or was measured")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "print all that the functions log, and let them log everything")
	cmd.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault) // files
	return cmd
}

func (o *options) set(cfg *cloud.Config) error {
	app, err := products.App(o.app)
	if err != nil {
		return fmt.Errorf("--app is %q: %w", o.app, err)
	}
	if cfg.App, o.try = app.Product(), app.Try; cfg.Canary != 0 && app.Canary.Post == "" {
		return fmt.Errorf("--canary: product %s has none", o.app)
	}
	if o.host && cfg.Hosts == 0 {
		cfg.Hosts = 1
	}
	if cfg.Settings, _, err = cli.Settings(o.settings); err != nil {
		return fmt.Errorf("--setting: %w", err)
	}
	for _, flag := range []string{topology.App.Env, topology.Auth.Env} {
		if _, given := cfg.Settings[flag]; given {
			return fmt.Errorf("--setting: %s is --%s", flag, strings.ToLower(flag))
		}
	}
	if o.verbose {
		cfg.Settings[topology.LogLevel.Env] = "debug"
	}
	if cfg.Tokens = o.auth == topology.JWT; !cfg.Tokens && o.auth != topology.Anonymous {
		return errors.New("--auth is anonymous or jwt")
	}
	return cmp.Or(check(*cfg), checkAddresses(cfg), setFaults(cfg, o.faults), setTiming(cfg, o.timing))
}

// check refuses what the cloud would run with, and do nothing.
func check(cfg cloud.Config) error {
	switch {
	case cfg.Concurrency < 0:
		return errors.New("--concurrency is 1 at least")
	case cfg.Redelivery < 0 || cfg.Redelivery%time.Second != 0:
		return errors.New("--redelivery is in whole seconds")
	case cfg.Hosts < 0:
		return errors.New("--hosts is 0 at least")
	case cfg.Canary < 0 || cfg.Canary%time.Minute != 0:
		return errors.New("--canary is in whole minutes")
	case cfg.Canary > 0 && cfg.Tokens:
		return errors.New("--canary has no token, so it goes with --auth anonymous only; " +
			"subwire doctor --local --token takes one")
	}
	return nil
}

// setFaults reads the plan. If it has faults and no seed is given, it chooses one.
func setFaults(cfg *cloud.Config, plan string) (err error) {
	if cfg.Faults, err = faults.Parse(plan); err != nil || cfg.Faults == nil {
		return err
	}
	cfg.Seed = cmp.Or(cfg.Seed, rand.Uint64())
	return nil
}

func setTiming(cfg *cloud.Config, name string) error {
	switch name {
	case "local":
	case "aws":
		cfg.Timing = timing.AWS(cfg.Seed)
	default:
		return errors.New("--timing is local or aws")
	}
	return nil
}

func run(ctx context.Context, cfg cloud.Config, try subwire.Example, out io.Writer) error {
	if cfg.Faults != nil {
		fmt.Fprintf(out, "faults: %s\nrepeat with --seed %d\n", cfg.Faults, cfg.Seed)
	}
	shown := cfg.Control != ""
	cfg.Control = cmp.Or(cfg.Control, "127.0.0.1:0")
	c, err := cloud.Start(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		return nil // Ctrl-C is no failure
	}
	if err != nil {
		return err
	}
	defer c.Stop()
	forget, err := c.Announce(cfg.Root)
	if err != nil {
		return err
	}
	defer forget()
	pages, control, header, holders := "", "", "", ""
	switch {
	case c.ConsoleURL != "":
		pages = fmt.Sprintf("  console             %s\n", c.ConsoleURL)
	case c.Console != nil:
		pages = "  console             only with a loopback address as --http\n"
	}
	if slices.Contains(cfg.App.Paths, "/") {
		pages += fmt.Sprintf("  %-19s %s/\n", cfg.App.Name, strings.TrimSuffix(c.HTTPURL, topology.GraphQLPath))
	}
	if c.Hosts != nil {
		holders = "; the sockets are held by " + plain.Plural(cfg.Hosts, "host")
		control = fmt.Sprintf(withHosts, strings.Replace(c.WSURL, "ws", "http", 1), c.GatewayURL)
	}
	if shown {
		control += "  control             " + c.ControlURL + "\n"
	}
	if c.IssuerURL != "" {
		control += fmt.Sprintf(withTokens, c.IssuerURL, c.IssuerURL, claims(try))
		header = "-H 'authorization: Bearer TOKEN' "
	}
	body, err := json.Marshal(map[string]string{"query": cmp.Or(try.Document, "{ __typename }")})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, banner, cfg.App.Name, pages, c.HTTPURL, c.WSURL, holders, control, c.HTTPURL, header, body)
	<-ctx.Done()
	fmt.Fprintln(out, "\nstopping")
	writeMet(out, c.Injector.Met())
	if c.Meter != nil {
		return billing.USEast1().Of(c.Meter.Usage()).Write(out)
	}
	return nil
}

// writeMet says which faults were met, and how often.
func writeMet(out io.Writer, met map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(met)) {
		fmt.Fprintf(out, "fault %s met %d times\n", name, met[name])
	}
}

const withHosts = `  event streams       %s   (graphql-sse)
  or by API Gateway   %s   (as without --host)
`

const withTokens = `  tokens              %s   (a viewer needs one, as the header Authorization: Bearer TOKEN)

  subwire token ada --issuer %s%s
`

// claims are the flags of subwire token for the example.
func claims(try subwire.Example) (flags string) {
	for _, claim := range try.Claims {
		flags += " --claim '" + claim + "'"
	}
	return flags
}

const banner = `
Subwire is running the %s. Ctrl-C stops it.

%s  GraphQL over HTTP   %s   (GraphiQL in a browser)
  subscriptions       %s   (graphql-transport-ws%s)
%s
Try it:

  curl %s %s-H 'content-type: application/json' -d '%s'

`
