package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/chat"
	"subwire/scripts/subwire/connections"
	"subwire/scripts/subwire/dead"
	"subwire/scripts/subwire/local"
	"subwire/scripts/subwire/publish"
	"subwire/scripts/subwire/schema"
	"subwire/scripts/subwire/token"
	"subwire/scripts/subwire/trust"
)

// Exit codes of every command.
const (
	exitDone   = 0 // everything asked for was done
	exitFailed = 1
	exitUsage  = 2 // the command line is invalid; nothing was done
)

// failure is an error after a command had begun.
type failure struct{ error }

// run is the tool without its process.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	root := &cobra.Command{Use: "subwire", SilenceErrors: true, SilenceUsage: true,
		Long: `Try, watch and mend Subwire, on this machine or in AWS.

The exit code is 0 when all was done that was asked for, 1 when not, and 2 for a
wrong command line.`}
	root.AddCommand(chat.Command(), connections.Command(), dead.Command(),
		local.Command(), publish.Command(), schema.Command(), token.Command(), trust.Command())
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	prepare(root)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(errs, "subwire:", plain.Lines(err.Error()))
	if _, begun := errors.AsType[failure](err); begun {
		return exitFailed
	}
	fmt.Fprintf(errs, "See %s --help.\n", cmd.CommandPath())
	return exitUsage
}

// prepare marks the failures of the commands below cmd, and makes them refuse unknown names.
func prepare(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		do := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := do(cmd, args); err != nil {
				return failure{err}
			}
			return nil
		}
		return
	}
	cmd.Args, cmd.Run = known, func(*cobra.Command, []string) {}
	for _, below := range cmd.Commands() {
		prepare(below)
	}
}

// known refuses a command line that names no command below cmd.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do")
	}
	return cobra.NoArgs(cmd, args)
}
