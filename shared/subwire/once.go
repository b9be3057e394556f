package subwire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/table"
)

// MaxKeyBytes is the length of the longest key that InsertOnce takes.
const MaxKeyBytes = 64

// keptFor is how long a key is remembered, at least.
const keptFor = 24 * time.Hour

// claim is a row of the table once: the row inserted with the key has this id, or will have.
type claim struct {
	Key     string `json:"key"`
	ID      string `json:"id"`
	Expires int64  `json:"ttl"` // Unix seconds
}

// keepKeys adds the table once.
func (a *App) keepKeys() {
	if a.claims == nil {
		a.claims = NewTable[claim](a, TableSpec{Name: "once", Key: "key", TTL: "ttl"}, nil)
	}
}

// InsertOnce stores a new row, once however often a client sends its mutation, as one does
// that got no answer. build returns the row for an id, a ULID, which is its sort key, or its
// key in a table without one. key is the client's, and means the same row for a day: to its
// viewer, in its tenant and in the row's partition. Anonymous viewers are one. The row that
// is returned is the one in the table, so an earlier call may have built it otherwise; a row
// that was deleted is stored again. An empty key, or one that is too long, is Invalid. After
// any error but that the call may be made again.
//
// The key is written first, with the id. So all calls insert under one id, and one of them
// wins. An id is good for a WriteTime, as replays may have passed an older one. If the row is
// not there by then, the key gets another id, but only when no write with the old one can be
// on its way any more.
func (t *Table[T]) InsertOnce(ctx context.Context, key string, build func(id string) T) (row T, err error) {
	if key == "" || len(key) > MaxKeyBytes {
		return row, Invalid(fmt.Sprintf("The key has %d bytes; 1 to %d are allowed.", len(key), MaxKeyBytes))
	}
	c := claim{ID: t.app.NewID()}
	w, err := t.encode(nil, build(c.ID)) // what is refused leaves no key behind
	if err != nil {
		return row, err
	}
	if !t.once || t.id(w.row) != c.ID {
		return row, fmt.Errorf("table %s: InsertOnce needs TableSpec.Once and rows with the id", t.table.Name)
	}
	partition := ""
	if t.table.Sort != "" {
		partition = table.Text(w.row, t.table.Key)
	}
	v, tenant := pubsub.ViewerOf(ctx), ""
	if t.app.Tenant != "" { // a viewer may be in several
		v.Claim(t.app.Tenant, &tenant)
	}
	if c.Key, err = claimKey(t.table.Name, partition, tenant, v.ID, key); err != nil {
		return row, err
	}
	if c, err = t.app.claim(ctx, c); err != nil {
		return row, err
	}
	find := func() (T, error) {
		if partition == "" {
			return t.Get(ctx, c.ID)
		}
		return t.Get(ctx, partition, c.ID)
	}
	if age := t.app.env.Now().Sub(madeAt(c.ID)); age >= WriteTime {
		if row, err = find(); !errors.Is(err, ErrNotFound) {
			return row, err
		}
		if age < lateTime {
			return row, gql.Unavailable(errors.New("an earlier insert with the key may be on its way"))
		}
		if c, err = t.app.reclaim(ctx, c); err != nil {
			return row, err
		}
	}
	inTime, cancel := context.WithDeadline(ctx, madeAt(c.ID).Add(WriteTime))
	defer cancel()
	row = build(c.ID)
	if err = t.Insert(inTime, row); errors.Is(err, ErrExists) {
		return find()
	}
	return row, err
}

// claimKey is the key of a claim: a hash, so that no part passes for another, and all fit.
func claimKey(parts ...string) (string, error) {
	all, err := json.Marshal(parts)
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:]), err
}

// madeAt is when a ULID was made. Anything else was made long ago.
func madeAt(id string) time.Time {
	made, err := ulid.ParseStrict(id)
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(made.Time())
}

// claim stores the claim, or returns the one that stands.
func (a *App) claim(ctx context.Context, c claim) (claim, error) {
	c.Expires = a.Now().Add(keptFor).Unix()
	if err := a.claims.Insert(ctx, c); !errors.Is(err, ErrExists) {
		return c, err
	}
	return standing(a.claims.Get(ctx, c.Key))
}

// reclaim gives the key of an old claim another id, if no other call has.
func (a *App) reclaim(ctx context.Context, old claim) (claim, error) {
	return standing(a.claims.Update(ctx, func(c *claim) error {
		if c.ID == old.ID {
			c.ID, c.Expires = a.NewID(), a.Now().Add(keptFor).Unix()
		}
		return nil
	}, old.Key))
}

// standing is what was read of a claim that exists, unless its day ended at that moment.
func standing(c claim, err error) (claim, error) {
	if errors.Is(err, ErrNotFound) {
		err = gql.Unavailable(err)
	}
	return c, err
}
