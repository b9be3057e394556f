// Local runs the whole pipeline on this machine, with the binaries that are
// deployed, until Ctrl-C: make run.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"subwire/scripts/internal/cloud"
)

func main() {
	cfg := cloud.Config{Output: os.Stderr}
	flag.StringVar(&cfg.Root, "root", ".", "`folder` of the repository")
	flag.StringVar(&cfg.HTTP, "http", "127.0.0.1:4000", "`address` of the HTTP API; a free port when it is taken")
	flag.StringVar(&cfg.WS, "ws", "127.0.0.1:4001", "`address` of the WebSocket API, likewise")
	flag.StringVar(&cfg.Data, "data", "", "`folder` that keeps data between runs; default in memory")
	verbose := flag.Bool("v", false, "let the functions log everything")
	flag.Parse()
	cfg.Log = slog.New(newLineHandler(os.Stderr))
	if *verbose {
		cfg.Settings = map[string]string{"LOG_LEVEL": "debug"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "subwire:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg cloud.Config) error {
	c, err := cloud.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Printf(banner, c.HTTPURL, c.WSURL, c.HTTPURL)
	<-ctx.Done()
	fmt.Println("\nstopping")
	return nil
}

const banner = `
Subwire is running. Ctrl-C stops it.

  GraphQL over HTTP   %s
  subscriptions       %s   (graphql-transport-ws)

Post a message:

  curl %s -H 'content-type: application/json' -d '{"query":"mutation { postMessage(chatId: \"lobby\", content: \"hello\", senderName: \"Ada\") { id } }"}'

`
