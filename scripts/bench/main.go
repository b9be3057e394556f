// Bench measures Subwire: go run ./scripts/bench COMMAND [flags]. Without a command
// it lists them; COMMAND -help lists a command's flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"subwire/scripts/bench/report"
)

type command struct {
	name, about string
	// register declares the command's own flags and returns the function that measures
	// once with their values. The caller fills in Machine and Command of the report.
	register func(flags *flag.FlagSet) measure
}

// measure returns one repetition's report.
type measure func(ctx context.Context, in input) (report.Report, error)

// input is what every command gets.
type input struct {
	root string // of the repository
	seed uint64 // equal seeds choose the same random input
}

func commands() []command {
	return []command{pipelineCommand(), senderCommand(), planCommand(), coldCommand(), costCommand(), peersCommand(),
		hostsCommand(), deflateCommand(), stormCommand(), idleCommand(), quotaCommand(), waysCommand(), breakevenCommand(),
		abuseCommand(), victimsCommand(), windowsCommand(), topicCommand()}
}

// Arguments that run no command.
const (
	serveGateway  = "serve-gateway"  // a gateway for another process of this program
	servePeer     = "serve-peer"     // Subwire's side of bench peers
	serveHost     = "serve-host"     // Subwire's side of bench hosts
	simulateQuota = "simulate-quota" // one scenario of bench quota
	simulateWays  = "simulate-ways"  // and of bench ways
	fillDocument  = "document"       // writes the reports into the documents
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

var errUsage = errors.New("say which command")

func run(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == serveGateway:
		return runGateway(os.Stdin, out)
	case len(args) == 1 && args[0] == servePeer:
		return runPeer(ctx, os.Stdin, out)
	case len(args) == 1 && args[0] == serveHost:
		return runHost(ctx, os.Stdin, out)
	case len(args) == 1 && args[0] == simulateQuota:
		return simulate(os.Stdin, out, scenario.run)
	case len(args) == 1 && args[0] == simulateWays:
		return simulate(os.Stdin, out, waysScenario.run)
	case len(args) == 1 && args[0] == fillDocument:
		return document()
	}
	for _, c := range commands() {
		if len(args) > 0 && c.name == args[0] {
			return c.run(ctx, args[1:], out)
		}
	}
	fmt.Fprintln(out, "usage: bench COMMAND [-count N] [-seed N] [-json FILE] [-svg FILE] [flags of the command]")
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-10s %s\n", c.name, c.about)
	}
	return errUsage
}

// run measures as often as asked and shows the report.
func (c command) run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench "+c.name, flag.ContinueOnError)
	var in input
	flags.StringVar(&in.root, "root", ".", "`folder` of the repository, with built functions in it")
	flags.Uint64Var(&in.seed, "seed", 1, "of what is random in the input; each repetition adds one")
	count := flags.Int("count", 1, "repetitions; figures are then medians and, in percent, how far the farthest is")
	jsonFile := flags.String("json", "", "`FILE` for the report with all samples")
	svgFile := flags.String("svg", "", "`FILE` for the plot")
	profile := flags.String("profile", "", "`FILE` for a CPU profile of this process (go tool pprof FILE)")
	once := c.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *count < 1 || flags.NArg() > 0 {
		return fmt.Errorf("%s: -count must be 1 or more, and nothing may follow the flags", c.name)
	}
	stopProfile, err := startProfile(*profile)
	if err != nil {
		return err
	}
	var repetitions []report.Report
	for range *count {
		r, err := once(ctx, in)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", c.name, err), stopProfile())
		}
		repetitions = append(repetitions, r)
		in.seed++
	}
	if err := stopProfile(); err != nil {
		return err
	}
	r, err := report.Merge(repetitions)
	if err != nil {
		return err
	}
	r.Command, r.Machine = c.name, report.ThisMachine(ctx)
	return errors.Join(r.WriteText(out), write(*jsonFile, r.WriteJSON), write(*svgFile, r.WriteSVG))
}

// write fills the file, unless it has no name.
func write(name string, content func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}

// startProfile writes a CPU profile to the file until it is stopped, unless the file has no name.
func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
