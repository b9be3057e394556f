// Package chat is subwire chat: a client of the sample chat on the command line.
package chat

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
)

// Command is subwire chat.
func Command() *cobra.Command {
	chat := &cobra.Command{Use: "chat", Short: "Read and write the sample chat, as any client would"}
	f := flags{where: cli.Deployment(chat)}
	chat.PersistentFlags().StringVar(&f.url, "url", "", "use the deployment whose GraphQL over HTTP is at `URL`")
	chat.PersistentFlags().StringVar(&f.token, "token", "", "`TOKEN` of the viewer, for a deployment with AUTH=jwt")
	chat.PersistentPreRunE = func(*cobra.Command, []string) error { return f.check() }
	chat.AddCommand(f.listen(), f.post(), f.latency())
	return chat
}

// flags choose a server and the viewer.
type flags struct {
	where      *deployment.Flags
	url, token string
}

func (f *flags) check() error {
	switch {
	case f.url == "":
		return f.where.Check()
	case f.where.Given():
		return errors.New("--url names a deployment, as --local and --stack do: choose one")
	}
	return nil
}

func (f *flags) server(ctx context.Context) (server, error) {
	if f.url != "" {
		return find(ctx, f.url, f.token)
	}
	d, err := f.where.Resolve(ctx)
	return server{d.HTTPURL, d.WSURL, f.token}, err
}

func (f *flags) listen() *cobra.Command {
	return &cobra.Command{Use: "listen CHAT", Short: "Print the new messages of a chat until Ctrl-C", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.server(cmd.Context())
			if err != nil {
				return err
			}
			return s.listen(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		}}
}

func (f *flags) post() *cobra.Command {
	name := ""
	cmd := &cobra.Command{Use: "post CHAT TEXT", Short: "Post a message", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.server(cmd.Context())
			if err != nil {
				return err
			}
			return s.post(cmd.Context(), args[0], args[1], name, cmd.OutOrStdout())
		}}
	cmd.Flags().StringVar(&name, "name", "someone", "sender's `NAME`")
	return cmd
}

func (f *flags) latency() *cobra.Command {
	n := 0
	cmd := &cobra.Command{Use: "latency", Short: "Measure messages, one after the other, from mutation to next", Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if n < 1 {
				return errors.New("--messages is 1 at least")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.server(cmd.Context())
			if err != nil {
				return err
			}
			return s.measure(cmd.Context(), n, cmd.OutOrStdout())
		}}
	cmd.Flags().IntVar(&n, "messages", 200, "how many")
	return cmd
}
