// Package cli is what several commands of subwire share: the flags that name a
// deployment, and the one that chooses the output format.
package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/shared/topology"
)

// Deployment adds --local and --stack to a command and its subcommands, which then
// require one of them.
func Deployment(cmd *cobra.Command) *deployment.Flags {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	where := deployment.Register(flags)
	cmd.PersistentFlags().AddGoFlagSet(flags)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return where.Check() }
	return where
}

// Output adds -o to a command.
func Output(cmd *cobra.Command, asJSON *bool) {
	const usage = "`FORMAT`: text, or json for an object a line (default text)"
	cmd.Flags().FuncP("output", "o", usage, func(format string) error {
		*asJSON = format == "json"
		if !*asJSON && format != "text" {
			return errors.New("it is text or json")
		}
		return nil
	})
	_ = cmd.RegisterFlagCompletionFunc("output", // it fails only for an unknown flag
		cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// Settings reads NAME=VALUE pairs as a function reads its environment. It returns what was
// given, and the values of all settings.
func Settings(pairs []string) (map[string]string, topology.Values, error) {
	given := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if !slices.ContainsFunc(topology.Settings(), func(s *topology.Setting) bool { return s.Env == name }) {
			return nil, nil, fmt.Errorf("there is no setting %q", name)
		}
		given[name] = value
	}
	values, errs := topology.Read(topology.Settings(), func(name string) string { return given[name] })
	return given, values, errors.Join(errs...)
}

// PrintJSON prints each value as one line of JSON that is safe on a terminal.
func PrintJSON[T any](out io.Writer, values ...T) error {
	for _, value := range values {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode as JSON: %w", err)
		}
		if _, err := fmt.Fprintln(out, plain.Lines(string(encoded))); err != nil {
			return err
		}
	}
	return nil
}
