// Package token is subwire token: it prints a token of the local cloud's issuer.
package token

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type claims struct {
	viewer, name string
	chats, read  string   // ids, separated by commas
	more         []string // NAME=VALUE
	life         time.Duration
}

func Command() *cobra.Command {
	c, issuer := claims{}, ""
	cmd := &cobra.Command{Use: "token VIEWER", Short: "Print a token of the local cloud (subwire local --auth jwt)",
		Args: cobra.ExactArgs(1), Example: "  subwire token ada --chats lobby,general\n  subwire token ada --claim 'shops=[\"a\"]'"}
	cmd.Flags().StringVar(&issuer, "issuer", "http://127.0.0.1:4002", "`URL` of the issuer")
	cmd.Flags().StringVar(&c.name, "name", "", "the viewer's `NAME`, which its messages bear; default its ID")
	cmd.Flags().StringVar(&c.chats, "chats", "", "`CHATS` that may be read and written, separated by commas; * for all")
	cmd.Flags().StringVar(&c.read, "read", "", "`CHATS` that may be read only")
	cmd.Flags().StringArrayVar(&c.more, "claim", nil, "`NAME=VALUE` of any claim, as JSON or else text; may be repeated")
	cmd.Flags().DurationVar(&c.life, "life", time.Hour, "`TIME` for which the token is good")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.viewer = args[0]
		token, err := ask(cmd.Context(), issuer, c)
		if err == nil {
			_, err = cmd.OutOrStdout().Write(token)
		}
		return err
	}
	return cmd
}

// ask returns a token, with a line feed.
func ask(ctx context.Context, issuer string, c claims) ([]byte, error) {
	query := url.Values{"viewer": {c.viewer}, "name": {c.name}, "life": {c.life.String()},
		"claim": c.more, "write": {c.chats}, "read": {strings.Trim(c.chats+","+c.read, ",")}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/token?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no issuer answers; start one with make run ARGS='--auth jwt': %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the issuer answered %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}
