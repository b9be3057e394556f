// Package schema is subwire schema: it prints a product's schema.
package schema

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"subwire/shared/gql"
	"subwire/shared/products"
	"subwire/shared/subwire"
)

func Command() *cobra.Command {
	var name string
	var app *subwire.App
	cmd := &cobra.Command{Use: "schema", Short: "Print a product's schema (SDL), for tools that generate code",
		Args: cobra.NoArgs, Example: "  subwire schema --app shop >schema.graphql",
		PreRunE: func(*cobra.Command, []string) (err error) {
			if app, err = products.App(name); err != nil {
				err = fmt.Errorf("--app is %q: %w", name, err)
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			sdl, err := Of(app)
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), sdl)
			}
			return err
		}}
	cmd.Flags().StringVar(&name, "app", products.Default(), "`NAME` of the product")
	return cmd
}

// Of is the product's schema in the schema definition language.
func Of(app *subwire.App) (string, error) {
	config, err := app.Open(subwire.Env{})
	if err != nil {
		return "", err
	}
	executor, err := gql.New(config)
	if err != nil {
		return "", err
	}
	return executor.SDL(), nil
}
