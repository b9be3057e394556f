// Deploycheck does for scripts/deploy.sh what a template cannot:
//
//	deploycheck before TEMPLATE   says whether this is the template's account, and whether it lets the
//	                              functions run; takes the protection from a stack that was never complete
//	deploycheck stored TEMPLATE   says which subscriptions of the deployed stack the template's sender would end,
//	                              and whether the template takes away a host that has sockets
//	deploycheck after TEMPLATE    protects the tables that the template keeps from deletion
//
// It uses the AWS credentials and region of the environment. It exits with 0 if nothing is in
// the way, or if AWS does not tell whether the account suffices; with 1 if something is in
// the way or failed; and with 2 if it is misused.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"subwire/scripts/internal/account"
)

// patience bounds a command: a deployment must not wait for a missing network.
const patience = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 || os.Args[1] != "stored" { // which may read for minutes, and bounds each page itself
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	load := func() (aws.Config, error) { return config.LoadDefaultConfig(ctx) }
	os.Exit(run(ctx, os.Args[1:], load, os.Stderr))
}

// run carries out the command and returns the exit status.
func run(ctx context.Context, args []string, load func() (aws.Config, error), stderr io.Writer) int {
	if len(args) != 2 || !slices.Contains([]string{"before", "stored", "after"}, args[0]) {
		fmt.Fprintln(stderr, "usage: deploycheck before|stored|after TEMPLATE")
		return 2
	}
	t, err := readTemplate(args[1])
	if err != nil {
		fmt.Fprintln(stderr, "subwire:", err)
		return 1
	}
	cfg, err := load()
	if t.region != "" {
		cfg.Region = t.region
	}
	switch args[0] {
	case "before":
		err = before(ctx, t, cfg, err)
	case "stored":
		if gone := keepsHost(ctx, t, cfg, err); gone != nil {
			err = gone
			break
		}
		err = subscriptions(ctx, t, cfg, err, stderr)
	default:
		err = after(ctx, t, cfg, err)
	}
	var doubt account.DoubtError
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

func before(ctx context.Context, t template, cfg aws.Config, unloaded error) error {
	if unloaded == nil {
		if err := checkPlace(ctx, sts.NewFromConfig(cfg), t); err != nil {
			return err
		}
		if err := unprotect(ctx, cloudformation.NewFromConfig(cfg), t.stack); err != nil {
			return err
		}
	}
	room, err := account.Room{}, unloaded
	if err == nil {
		room, err = t.Ask(ctx, lambda.NewFromConfig(cfg))
	}
	if err != nil {
		return account.Doubt(fmt.Errorf("whether the account may run enough functions at once is not known: %w", err))
	}
	return t.Judge(room)
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
