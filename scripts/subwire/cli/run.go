package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/plain"
)

// Exit codes of every command.
const (
	ExitDone   = 0 // everything asked for was done
	ExitFailed = 1
	ExitUsage  = 2 // the command line is invalid; nothing was done
)

// failure is an error after a command had begun.
type failure struct{ error }

// Run runs a tool whose root has subcommands, without its process, and returns its exit code.
// What is wrong is one line on errs. Of a command that was interrupted nothing is said.
func Run(ctx context.Context, root *cobra.Command, args []string, out, errs io.Writer) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	prepare(root)
	args = withHelp(root, args)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root, oneDash(root, args)
	if err == nil {
		cmd, err = root.ExecuteContextC(ctx)
	}
	if err == nil {
		return ExitDone
	}
	_, begun := errors.AsType[failure](err)
	if begun && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitFailed
	}
	fmt.Fprintln(errs, "subwire:", plain.Lines(err.Error()))
	if begun {
		return ExitFailed
	}
	fmt.Fprintf(errs, "See %s --help.\n", cmd.CommandPath())
	return ExitUsage
}

// withHelp makes --help of the word, first (help local) or last (local help). A command that takes
// a word, such as the name of a chat, keeps it.
func withHelp(root *cobra.Command, args []string) []string {
	last := len(args) - 1
	if last < 0 {
		return args
	}
	if args[0] == "help" {
		if _, left, err := root.Find(args[1:]); err != nil || len(left) > 0 {
			return args[1:] // which says what is unknown
		}
		return append(slices.Clone(args[1:]), "--help")
	}
	cmd, left, err := root.Find(args[:last])
	if args[last] != "help" || err != nil || len(left) > 0 || cmd.Args == nil || cmd.Args(cmd, args[last:]) == nil {
		return args
	}
	return append(slices.Clone(args[:last]), "--help")
}

// oneDash refuses a long flag with one dash, such as -http. It would be read as -h -t -t -p, and
// so show the help.
func oneDash(root *cobra.Command, args []string) error {
	cmd, _, err := root.Find(args)
	if err != nil {
		return nil // which the execution says
	}
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		switch {
		case arg == "--":
			return nil
		case len(name) < 2 || !strings.HasPrefix(arg, "-"):
		case name == "help" || cmd.Flag(name) != nil || cmd.InheritedFlags().Lookup(name) != nil:
			return fmt.Errorf("-%s has two dashes: --%s", name, name)
		}
	}
	return nil
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
