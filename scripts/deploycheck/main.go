// Deploycheck does for scripts/deploy.sh what a template cannot:
//
//	deploycheck before TEMPLATE   says whether the account lets the template's functions run
//	deploycheck after TEMPLATE    protects the tables that the template keeps from deletion
//
// It uses the AWS credentials and region of the environment. It exits with 0 if nothing is in
// the way, or if AWS does not tell; with 1 if something is in the way or failed; and with 2
// if it is misused.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// patience bounds a command: a deployment must not wait for a missing network.
const patience = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	load := func() (aws.Config, error) { return config.LoadDefaultConfig(ctx) }
	os.Exit(run(ctx, os.Args[1:], load, os.Stderr))
}

// run carries out the command and returns the exit status.
func run(ctx context.Context, args []string, load func() (aws.Config, error), stderr io.Writer) int {
	if len(args) != 2 || args[0] != "before" && args[0] != "after" {
		fmt.Fprintln(stderr, "usage: deploycheck before|after TEMPLATE")
		return 2
	}
	t, err := readTemplate(args[1])
	if err != nil {
		fmt.Fprintln(stderr, "subwire:", err)
		return 1
	}
	cfg, err := load()
	if args[0] == "before" {
		err = before(ctx, t, cfg, err)
	} else {
		err = after(ctx, t, cfg, err)
	}
	var doubt doubtError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &doubt):
		fmt.Fprintln(stderr, "subwire: warning:", err)
		return 0
	}
	fmt.Fprintln(stderr, "subwire:", err)
	return 1
}

// doubtError is a doubt that does not stop a deployment.
type doubtError struct{ error }

func before(ctx context.Context, t template, cfg aws.Config, unloaded error) error {
	a, err := account{}, unloaded
	if err == nil {
		a, err = ask(ctx, lambda.NewFromConfig(cfg), t)
	}
	if err != nil {
		return doubtError{fmt.Errorf("whether the account may run enough functions at once is not known: %w", err)}
	}
	return t.judge(a)
}

func after(ctx context.Context, t template, cfg aws.Config, err error) error {
	for _, table := range t.kept {
		if err == nil {
			err = protect(ctx, dynamodb.NewFromConfig(cfg), table)
		}
		if err != nil {
			return fmt.Errorf("the stack is deployed, but its table %s is not protected from deletion; deploy again: %w", table, err)
		}
	}
	return nil
}
