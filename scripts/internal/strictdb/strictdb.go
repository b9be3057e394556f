// Package strictdb is a proxy before DynamoDB Local that makes it as strict as
// DynamoDB where the difference could hide a bug of ours. From the list in "DynamoDB
// local usage notes":
//
//   - Transaction conflicts are not thrown. Here they are (locks.go).
//   - Throughput is not limited. Here that of a partition key is, by the
//     consumption that DynamoDB Local reports (throughput.go). The limits of a
//     whole table and of the account are not: an on-demand table takes 4,000
//     writes a second from the start, more than this machine makes.
//   - Reads that may be stale are not. Nothing is done about that: of package
//     dynamo's, only the operators' scan and the queries of an index may be.
//   - Parallel scans are sequential, item collections are not measured, tables
//     change at once: none of it is used. Pages of an index are measured
//     differently: nobody relies on their size.
//   - Shards of streams differ: package esm takes care of that.
//
// The page does not mention expired items: DynamoDB Local deletes them within half a
// minute, so dynamo.CreateTable makes tables without TTL. DynamoDB Local itself
// enforces the sizes of items (400 KB), pages and batches, and all expressions. A
// transaction takes about as long here as in the cloud.
package strictdb

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/awsproxy"
	"subwire/shared/topology"
)

// Config says how strict to be. The zero value is as strict as DynamoDB.
type Config struct {
	Off    bool                 // pass everything on unchanged
	Prefix string               // of the tables' physical names
	Tables []topology.Table     // others are not watched
	Hold   func() time.Duration // how long a transaction is in progress; default 5 to 25 ms at random, a guess
	Seed   uint64               // of its default

	// Throttled, unless nil, is called for each access that is over its key's throughput, with
	// the logical names of the table, and of the index if one is read.
	Throttled func(table, index string, read bool)

	// Consumed, unless nil, is called for each access that has succeeded, before its answer leaves.
	Consumed func(Use)

	// Units per second of one partition key; 0 means the constants, and a negative number no
	// limit. "Burst and adaptive capacity" speaks of up to five minutes of unused units, on a
	// best-effort basis; here it is one second.
	ReadUnits, WriteUnits float64
}

// What a partition key takes a second ("Best practices for designing and using partition keys
// effectively").
const (
	ReadUnits  = 3000
	WriteUnits = 1000
)

// Use is what an access of an item, or of the items of a partition key, has taken.
type Use struct {
	Table           string // its logical name
	Partition, Sort string // keys; of a query only the first
	Read            bool
	Units           float64
}

// DB is the state that all proxies of one DynamoDB share.
type DB struct {
	cfg        Config
	tables     map[string]topology.Table // by physical name
	locks      locks
	reads      meters
	writes     meters
	exceptions throttles
	turns      turns
}

// New returns a DB with nothing in progress.
func New(cfg Config) *DB {
	if cfg.Hold == nil {
		cfg.Hold = holds(cfg.Seed)
	}
	d := &DB{cfg: cfg, tables: map[string]topology.Table{}, locks: newLocks(),
		turns:  turns{tables: map[string]chan struct{}{}},
		reads:  newMeters(cmp.Or(cfg.ReadUnits, ReadUnits)),
		writes: newMeters(cmp.Or(cfg.WriteUnits, WriteUnits))}
	for _, t := range cfg.Tables {
		d.tables[cfg.Prefix+t.Name] = t
	}
	return d
}

// holds returns random durations from 5 to 25 ms.
func holds(seed uint64) func() time.Duration {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return 5*time.Millisecond + time.Duration(random.Int64N(int64(20*time.Millisecond)))
	}
}

// Proxy returns a handler before DynamoDB Local at the endpoint.
func (d *DB) Proxy(endpoint string) (http.Handler, error) {
	proxy, err := awsproxy.New(endpoint)
	if err != nil || d.cfg.Off {
		return proxy, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, operation := awsproxy.Operation(r)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest) // the caller has gone
			return
		}
		c, watched := d.parse(operation, body)
		if !strings.HasPrefix(service, "DynamoDB_") || !watched {
			awsproxy.SetBody(r, body)
			proxy.ServeHTTP(w, r)
			return
		}
		d.serve(c, func(body []byte) *answer {
			if !c.read {
				end, err := d.turns.take(r.Context(), c.accesses[0].table)
				if err != nil {
					return &answer{status: http.StatusBadRequest} // the caller has gone
				}
				defer end()
				r = r.WithContext(context.WithoutCancel(r.Context())) // DynamoDB Local carries it out anyway
			}
			awsproxy.SetBody(r, awsproxy.AskForCapacity(body))
			r.Header.Set("Accept-Encoding", "identity") // so that the answer can be read here
			a := &answer{header: http.Header{}}
			proxy.ServeHTTP(a, r)
			return a
		}).write(w)
	}), nil
}

// serve answers a call, with a refusal or with the answer of forward. Everything is
// released before the answer leaves, so that a caller never meets its own call.
func (d *DB) serve(c call, forward func(body []byte) *answer) *answer {
	over := d.admit(c.accesses)
	if c.read {
		return d.forward(c, over, forward)
	}
	if !d.locks.enter(c.token) {
		return failure("TransactionInProgressException", "The transaction with the given request token is already in progress.")
	}
	defer d.locks.leave(c.token)
	busy := d.locks.acquire(c, over)
	defer d.locks.release(c, over, busy)
	switch {
	case c.batch:
		return d.batch(c, over, busy, forward)
	case c.transaction && (slices.Contains(over, true) || slices.Contains(busy, true)):
		return cancelled(over, busy)
	case slices.Contains(busy, true):
		return failure(conflictException, conflictMessage)
	}
	if c.transaction && !c.gets && !slices.Contains(over, true) {
		time.Sleep(d.cfg.Hold())
	}
	return d.forward(c, over, forward)
}

// forward passes the call on unless it is throttled, and counts what it consumed.
func (d *DB) forward(c call, over []bool, forward func([]byte) *answer) *answer {
	if c.transaction && slices.Contains(over, true) {
		return cancelled(over, make([]bool, len(over)))
	}
	for i, is := range over {
		if is {
			return d.exceptions.next(c.accesses[i])
		}
	}
	a := forward(c.body)
	d.settle(c.accesses, a)
	return a
}

// answer is a response that has not been sent yet.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) ok() bool { return a.status == 0 || a.status == http.StatusOK }

func (a *answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	w.WriteHeader(cmp.Or(a.status, http.StatusOK))
	_, _ = w.Write(a.body.Bytes()) // the caller may have gone
}

// replace gives the answer another body and removes the old one's checksum.
func (a *answer) replace(body []byte) {
	a.header.Del("X-Amz-Crc32")
	a.body.Reset()
	a.body.Write(body)
}
