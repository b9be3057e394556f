// Token prints a token of the local cloud's issuer (make run ARGS='-auth jwt'):
//
//	go run ./scripts/token -viewer ada -chats lobby,general
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "token:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	issuer := flags.String("issuer", "http://127.0.0.1:4002", "`URL` of the issuer")
	viewer := flags.String("viewer", "", "`ID` of the viewer; required")
	name := flags.String("name", "", "the viewer's `NAME`, which its messages bear; default its ID")
	chats := flags.String("chats", "", "`CHATS` that may be read and written, separated by commas; * for all")
	read := flags.String("read", "", "`CHATS` that may be read only")
	life := flags.Duration("life", time.Hour, "how long the token is good")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *viewer == "" {
		return errors.New("say -viewer ID")
	}
	query := url.Values{"viewer": {*viewer}, "name": {*name}, "life": {life.String()},
		"write": {*chats}, "read": {strings.Trim(*chats+","+*read, ",")}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, *issuer+"/token?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no issuer answers; start one with make run ARGS='-auth jwt': %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the issuer answered %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	if err != nil {
		return err
	}
	_, err = out.Write(body)
	return err
}
