package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Result is the outcome of a group's messages.
type Result struct {
	Done int   // how many succeeded, from the first; the rest must be received again
	Err  error // why the next one failed or was not begun; nil if all succeeded
}

// DeliverGroups delivers the messages of several message groups: the groups side by
// side, the messages of each in order. A message does not wait for the stragglers of
// the one before; only their own next events do. After a failure, or when ctx has
// ended, a group begins no further message: what follows must not overtake it.
func (s *Sender) DeliverGroups(ctx context.Context, groups [][]string) []Result {
	w := s.open(ctx)
	defer w.close()
	begun := time.Now()
	rounds := make([][]*round, len(groups))
	var begin sync.WaitGroup
	for i, group := range groups {
		begin.Go(func() {
			for _, body := range group {
				if ctx.Err() != nil || slices.ContainsFunc(rounds[i], (*round).failed) {
					return
				}
				rounds[i] = append(rounds[i], s.begin(w, &round{body: []byte(body)}))
			}
		})
	}
	begin.Wait()
	s.awaitStragglers(w, slices.Concat(rounds...), time.Since(begun))
	results := make([]Result, len(groups))
	for i, group := range rounds {
		results[i] = resultOf(group)
		if r := &results[i]; r.Err == nil && len(group) < len(groups[i]) {
			r.Err = fmt.Errorf("begin batch: %w", context.Cause(ctx))
		}
	}
	return results
}

// moment is how long to wait before checking again whether stragglers are worth the
// wait.
const moment = 250 * time.Millisecond

// patience is how long to wait for stragglers, given how long all others took. Within
// that time they cost little; in a hurry they are queued.
func patience(took time.Duration) time.Duration { return max(time.Second-took, took/50) }

// awaitStragglers waits until all is settled, or until the stragglers cost the others
// too much. Where most targets straggle, it is the gateway that is slow, and few wait
// for them: they go on as long as posts succeed.
func (s *Sender) awaitStragglers(w *window, rounds []*round, took time.Duration) {
	look := time.After(patience(took))
	for i := 0; i < len(rounds); {
		select {
		case <-rounds[i].done:
			i++
		case <-look:
			if !s.pace.moves() || !mostStraggle(rounds) {
				w.stop()
				return
			}
			look = time.After(moment)
		}
	}
}

func mostStraggle(rounds []*round) bool {
	straggled, targets := 0, 0
	for _, r := range rounds {
		straggled += int(r.straggled.Load())
		targets += len(r.targets)
	}
	return 2*straggled > targets
}

// failed reports whether the round is known to have failed, or to be about to. Of the targets
// that are left to its message that is known before it is done: once none is in order any more.
func (r *round) failed() bool {
	select {
	case <-r.done:
		return r.err != nil
	default:
		return r.broken.Load()
	}
}

// resultOf waits for all rounds of a group. Those after a failure come again with it,
// even if they succeeded.
func resultOf(group []*round) (res Result) {
	for _, r := range group {
		<-r.done
		switch {
		case res.Err != nil:
			if r.err == nil {
				r.keepReceipts()
			}
		case r.err != nil:
			res.Err = r.err
		default:
			res.Done++
		}
	}
	return res
}
