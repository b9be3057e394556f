// Withbackend runs a command while DynamoDB Local and ElasticMQ run, and exits with
// the command's status: go run ./withbackend -cache ../.cache/jars -- go test ./...
// The command finds both through the SDK's environment variables, and DynamoDB also
// in SUBWIRE_DYNAMODB, without which integration tests are skipped.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"subwire/scripts/internal/backend"
)

func main() {
	cache := flag.String("cache", "../.cache/jars", "`folder` for the servers' jars")
	flag.Parse()
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b, err := backend.Start(ctx, backend.Config{Cache: *cache, Progress: os.Stderr})
	if err != nil {
		log.Fatalln("withbackend:", err)
	}
	cmd := exec.CommandContext(ctx, flag.Arg(0), flag.Args()[min(1, flag.NArg()):]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), b.Environ()...), "SUBWIRE_DYNAMODB="+b.DynamoDB.Endpoint)
	err = cmd.Run()
	b.Stop()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		log.Fatalln("withbackend:", err)
	}
}
