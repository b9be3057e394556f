package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/errgroup"
)

// play plays each scenario in a process of its own, which command names, as many at once as
// there are cores: their time is virtual. It returns the outcomes in the same order.
func play[O, S any](ctx context.Context, command string, all []S) ([]O, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	outcomes := make([]O, len(all))
	playing, ctx := errgroup.WithContext(ctx)
	playing.SetLimit(runtime.NumCPU())
	for i, s := range all {
		playing.Go(func() error {
			child, err := startChild(ctx, []string{"GOMAXPROCS=1"}, self, command)
			if err != nil {
				return err
			}
			defer child.stop()
			if err := child.ask(s, &outcomes[i]); err != nil {
				return fmt.Errorf("%+v: %w", s, err)
			}
			return nil
		})
	}
	return outcomes, playing.Wait()
}

// simulate reads a scenario and writes what came of it, for play: the bubble with virtual
// time needs a test around it, which ends the process.
func simulate[O, S any](in io.Reader, out io.Writer, run func(S, context.Context) (O, error)) error {
	var s S
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("read scenario: %w", err)
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "scenario",
		F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcome, err := run(s, t.Context())
				if err == nil {
					err = json.NewEncoder(out).Encode(outcome)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
		}}}, nil, nil)
	return nil
}
