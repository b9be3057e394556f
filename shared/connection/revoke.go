package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
)

// Revoker ends all connections of a viewer.
type Revoker struct {
	Quotas interface {
		Revoke(ctx context.Context, quota string, at time.Time) (connections []string, err error)
	}
	Checks interface {
		SendEach(ctx context.Context, bodies [][]byte) error
	}
}

// revoking is how many parts of a quota are revoked at once.
const revoking = 32

// Revoke refuses the viewer's tokens that were issued until now, and queues a check that
// ends each of its connections. It returns their number. After an error some may be left:
// call it again. Anything else that counts against the quota is refused or ended, however
// the parts were chosen, so all that there may be are revoked.
func (r Revoker) Revoke(ctx context.Context, viewer string) (connections int, err error) {
	if viewer == "" || len(viewer) > pubsub.MaxViewerBytes {
		return 0, fmt.Errorf("revoke: a viewer has a name of 1 to %d bytes", pubsub.MaxViewerBytes)
	}
	now, whole := time.Now(), allowance.Viewer(viewer)
	names := []string{whole}
	for part := range mostParts {
		names = append(names, partOf(whole, part))
	}
	var ended atomic.Int64
	var all errgroup.Group // one that fails does not keep the others from it
	all.SetLimit(revoking)
	for _, quota := range names {
		all.Go(func() error {
			n, err := r.revoke(ctx, quota, now)
			ended.Add(int64(n))
			return err
		})
	}
	err = all.Wait()
	connections = int(ended.Load())
	allowance.Add(ctx, allowance.Revocation(len(names), connections))
	return connections, err
}

// revoke revokes one part of a quota.
func (r Revoker) revoke(ctx context.Context, quota string, at time.Time) (connections int, err error) {
	var ids []string
	err = retry.Do(ctx, retry.EndReserve, func(ctx context.Context) (err error) {
		ids, err = r.Quotas.Revoke(ctx, quota, at)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("revoke connections: %w", err)
	}
	bodies := make([][]byte, len(ids))
	for i, id := range ids {
		// For the previous release it is a connection whose time is up.
		bodies[i], err = json.Marshal(check{ConnectionID: id, Expires: at.Unix(), Revoked: true})
		if err != nil {
			return 0, fmt.Errorf("encode check: %w", err)
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	err = retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error { return r.Checks.SendEach(ctx, bodies) })
	if err != nil {
		return 0, fmt.Errorf("queue checks: %w", err)
	}
	return len(ids), nil
}

// partOf names a part of a quota. The number is in front, as a viewer's name may end with
// anything.
func partOf(quota string, part int) string { return strconv.Itoa(part) + "/" + quota }
