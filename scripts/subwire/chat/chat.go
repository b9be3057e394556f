// Package chat is subwire chat: a command-line client of the sample chat.
package chat

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
)

type options struct {
	where            *deployment.Flags
	url, token, name string
	messages         int
}

func Command() *cobra.Command {
	chat := &cobra.Command{Use: "chat", Short: "Read and write the sample chat, as any client would"}
	o := options{where: cli.Deployment(chat)}
	chat.PersistentFlags().StringVar(&o.url, "url", "", "use the deployment whose GraphQL over HTTP is at `URL`")
	chat.PersistentFlags().StringVar(&o.token, "token", "", "`TOKEN` of the viewer, for a deployment with AUTH=jwt")
	chat.PersistentPreRunE = func(*cobra.Command, []string) error { return o.check() }
	run := func(do func(s server, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			s, err := o.server(cmd.Context())
			if err != nil {
				return err
			}
			return do(s, cmd, args)
		}
	}
	listen := &cobra.Command{Use: "listen CHAT", Short: "Print the new messages of a chat until Ctrl-C", Args: cobra.ExactArgs(1),
		RunE: run(func(s server, cmd *cobra.Command, args []string) error {
			return s.listen(cmd.Context(), args[0], firstPause, cmd.OutOrStdout(), cmd.ErrOrStderr())
		})}
	post := &cobra.Command{Use: "post CHAT TEXT", Short: "Post a message", Args: cobra.ExactArgs(2),
		RunE: run(func(s server, cmd *cobra.Command, args []string) error {
			return s.post(cmd.Context(), args[0], args[1], o.name, cmd.OutOrStdout())
		})}
	post.Flags().StringVar(&o.name, "name", "someone", "`NAME` of the sender")
	latency := &cobra.Command{Use: "latency", Short: "Measure from mutation to next, one message at a time", Args: cobra.NoArgs,
		RunE: run(func(s server, cmd *cobra.Command, _ []string) error {
			return s.measure(cmd.Context(), o.messages, cmd.OutOrStdout())
		})}
	latency.Flags().IntVar(&o.messages, "messages", 200, "measure `N` of them")
	chat.AddCommand(listen, post, latency)
	return chat
}

func (o *options) check() error {
	switch {
	case o.messages < 1:
		return errors.New("--messages is 1 at least")
	case o.url == "":
		return o.where.Check()
	case o.where.Given():
		return errors.New("--url names a deployment, as --local and --stack do: choose one")
	}
	return nil
}

func (o *options) server(ctx context.Context) (server, error) {
	if o.url != "" {
		return find(ctx, o.url, o.token)
	}
	d, err := o.where.Resolve(ctx)
	return server{d.HTTPURL, d.WSURL, o.token}, err
}
