package delivery

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Result is what became of the messages of a group.
type Result struct {
	Done int   // so many succeeded, from the first; the rest must be received again
	Err  error // why the next one failed; nil when all succeeded
}

// DeliverGroups delivers the messages of several message groups: the groups
// side by side, the messages of each in order. A message does not wait for
// the stragglers of the one before: only their own next events do. A group
// begins no further message after a failure: what follows must not overtake it.
func (s *Sender) DeliverGroups(ctx context.Context, groups [][]string) []Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := time.Now()
	deliveries := make([][]*pending, len(groups))
	var others sync.WaitGroup
	for i, group := range groups {
		others.Go(func() {
			for _, body := range group {
				if slices.ContainsFunc(deliveries[i], (*pending).failed) {
					return
				}
				deliveries[i] = append(deliveries[i], s.begin(ctx, []byte(body)))
			}
		})
	}
	others.Wait()
	patience := time.AfterFunc(patience(time.Since(begun)), cancel)
	defer patience.Stop()
	results := make([]Result, len(groups))
	for i, group := range deliveries {
		results[i] = result(group)
	}
	return results
}

// patience is how long stragglers are waited for once all others are served,
// which took so long. What they cost is little then; in a hurry, they are
// queued.
func patience(took time.Duration) time.Duration { return max(time.Second-took, took/50) }

// result waits for all deliveries of a group.
func result(group []*pending) (r Result) {
	for _, d := range group {
		<-d.done
		if r.Err == nil {
			r.Err = d.err
		}
		if r.Err == nil {
			r.Done++
		}
	}
	return r
}
