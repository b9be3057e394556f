package strictdb

import (
	"strings"
	"sync"

	"subwire/scripts/internal/awsproxy"
	"subwire/scripts/internal/tokens"
)

// meters are the buckets of all partition keys, for reads or for writes.
type meters struct {
	units float64 // per second
	mu    *sync.Mutex
	keys  map[itemKey]*tokens.Bucket // without a sort key
}

// manyKeys is how many buckets may exist before the full ones are dropped.
const manyKeys = 10_000

func newMeters(units float64) meters {
	return meters{units, new(sync.Mutex), map[itemKey]*tokens.Bucket{}}
}

func (m meters) bucket(a access) *tokens.Bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := itemKey{table: a.table + "/" + a.index, partition: a.partition}
	if b, ok := m.keys[key]; ok {
		return b
	}
	if len(m.keys) >= manyKeys {
		for key, b := range m.keys {
			if b.Full() {
				delete(m.keys, key)
			}
		}
	}
	b := tokens.New(m.units, m.units)
	m.keys[key] = b
	return b
}

// bucket is the bucket that the access draws on; nil if its key is unknown.
func (d *DB) bucket(a access) *tokens.Bucket {
	switch {
	case a.partition == "":
		return nil
	case a.read:
		return d.reads.bucket(a)
	}
	return d.writes.bucket(a)
}

// admit takes the least that each access consumes, and returns which are over the
// throughput of their partition key.
func (d *DB) admit(accesses []access) (over []bool) {
	over = make([]bool, len(accesses))
	for i, a := range accesses {
		if over[i] = !d.bucket(a).Take(a.least); over[i] && d.cfg.Throttled != nil {
			d.cfg.Throttled(strings.TrimPrefix(a.table, d.cfg.Prefix), a.index, a.read)
		}
	}
	return over
}

// settle takes what a call consumed beyond the least. What DynamoDB Local reports for
// a table is shared equally among the call's items there. A failed call has consumed
// the least: a failed condition costs a write as well ("Read and write operations").
func (d *DB) settle(accesses []access, a *answer) {
	if !a.ok() {
		return
	}
	used, count := map[string]float64{}, map[string]float64{}
	for _, c := range awsproxy.Consumed(a.body.Bytes()) {
		used[c.TableName] += c.CapacityUnits // in a transaction, each item may be listed separately
	}
	for _, access := range accesses {
		count[access.table]++
	}
	for _, access := range accesses {
		share := max(access.least, used[access.table]/count[access.table])
		if share > access.least {
			d.bucket(access).Spend(share - access.least)
		}
		if d.cfg.Consumed != nil {
			d.cfg.Consumed(Use{Table: strings.TrimPrefix(access.table, d.cfg.Prefix), Partition: access.partition,
				Sort: access.sort, Read: access.read, Units: share})
		}
	}
}
