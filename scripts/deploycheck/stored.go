package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/stored"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/topology"
)

// shownOfMany is how many outdated operations are printed.
const shownOfMany = 10

// subscriptions prints the operations that the template's sender would no longer run, and
// returns an error if there are any or if that is not known. A stack that is not deployed
// yet has no table.
func subscriptions(ctx context.Context, t template, cfg aws.Config, err error, out io.Writer) error {
	var r stored.Report
	if err == nil {
		r, err = report(ctx, t, cfg)
	}
	var none *types.ResourceNotFoundException
	if errors.As(err, &none) {
		return nil
	}
	for i, op := range r.Outdated {
		if i == shownOfMany {
			fmt.Fprintf(out, "and %d more\n", len(r.Outdated)-i)
			break
		}
		fmt.Fprintln(out, op.Text())
	}
	if err != nil {
		return fmt.Errorf("which stored subscriptions the release would end is not known: %w", err)
	}
	if len(r.Outdated) > 0 {
		return fmt.Errorf("the release no longer runs %d of %d operations in use: %s", len(r.Outdated), r.Operations, stored.Consequence)
	}
	return nil
}

func report(ctx context.Context, t template, cfg aws.Config) (stored.Report, error) {
	settings, errs := topology.Read(topology.Sender.Settings(), func(name string) string { return t.sender[name] })
	if len(t.sender) == 0 || t.operations == "" {
		errs = append(errs, errors.New("the template has no sender, or no table of operations"))
	}
	if err := errors.Join(errs...); err != nil {
		return stored.Report{}, err
	}
	app, err := products.App(topology.App.In(settings))
	if err != nil {
		return stored.Report{}, err
	}
	store := dynamo.New(dynamo.NewClient(cfg), dynamo.Tables{Operations: t.operations})
	return stored.Check(store.Operations(ctx), app, settings, time.Now())
}
