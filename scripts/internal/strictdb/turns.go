package strictdb

import (
	"context"
	"sync"
)

// atOnce is how many writes of a table DynamoDB Local has at once. It executes them one by
// one, so more would be no faster.
const atOnce = 8

// turns are those of writes, by table. DynamoDB Local locks a table for each of them, which
// DynamoDB does not. A write that waits for the lock keeps one of the server's 200 threads,
// even when its caller has given up. Callers that try again would soon have all of them. So
// writes wait here, and leave with their callers.
type turns struct {
	mu     sync.Mutex
	tables map[string]chan struct{}
}

// take waits for a turn to write to the table, and returns what ends it. The error is ctx's.
func (t *turns) take(ctx context.Context, table string) (end func(), err error) {
	t.mu.Lock()
	turn, ok := t.tables[table]
	if !ok {
		turn = make(chan struct{}, atOnce)
		t.tables[table] = turn
	}
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
