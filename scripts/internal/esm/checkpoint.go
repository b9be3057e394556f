package esm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Checkpoints remembers in a file how far each shard was handled, as AWS does for a mapping,
// so that a stream that outlives the process is not handled again from its beginning.
type Checkpoints struct {
	path string

	mu        sync.Mutex
	positions map[string]string // shard -> sequence number of the last record handled
}

// OpenCheckpoints reads the file, which need not exist.
func OpenCheckpoints(path string) (*Checkpoints, error) {
	c := &Checkpoints{path: path, positions: map[string]string{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &c.positions)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return c, nil
}

// position is where the shard was left, or "" for its beginning.
func (c *Checkpoints) position(shard string) string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.positions[shard]
}

// save replaces the file, so that a crash leaves the old one or the new.
func (c *Checkpoints) save(shard, sequence string) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.positions[shard] = sequence
	raw, err := json.Marshal(c.positions)
	if err == nil {
		err = os.WriteFile(c.path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(c.path+".new", c.path)
	}
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

// progress knows how far a shard was handled without a gap: its lanes finish their
// records in any order.
type progress struct {
	mu   sync.Mutex
	open []string        // sequence numbers in stream order, from the first unhandled one
	done map[string]bool // members of open that are handled
}

// begin notes records that the lanes are about to get.
func (p *progress) begin(sequences []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, sequences...)
}

// finish notes handled records. It returns the sequence number up to which all are
// handled, or "" if that has not changed.
func (p *progress) finish(records []record) (upTo string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range records {
		p.done[r.sequence] = true
	}
	for len(p.open) > 0 && p.done[p.open[0]] {
		upTo = p.open[0]
		delete(p.done, upTo)
		p.open = p.open[1:]
	}
	return upTo
}
