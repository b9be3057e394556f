package subwire_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

type page struct {
	Book string `json:"book"`
	ID   string `json:"id"`
	Text string `json:"text"`
}

type sheet struct {
	ID string `json:"id"`
}

// library has a table with a sort key, and one without.
type library struct {
	pages  *subwire.Table[page]
	sheets *subwire.Table[sheet]
}

func openLibrary(t *testing.T, s table.Store) library {
	t.Helper()
	app := subwire.New("library")
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	l := library{
		pages:  subwire.NewTable[page](app, subwire.TableSpec{Name: "pages", Key: "book", Sort: "id", Once: true}, nil),
		sheets: subwire.NewTable[sheet](app, subwire.TableSpec{Name: "sheets", Key: "id", Once: true}, nil),
	}
	if _, err := app.Open(subwire.Env{Tables: s}); err != nil {
		t.Fatal(err)
	}
	return l
}

// insert inserts a page as the viewer.
func (l library) insert(ctx context.Context, viewer, book, key, text string) (page, error) {
	ctx = pubsub.WithViewer(ctx, pubsub.Viewer{ID: viewer})
	return l.pages.InsertOnce(ctx, key, func(id string) page { return page{book, id, text} })
}

func (l library) stored(t *testing.T, book string) []page {
	t.Helper()
	all, err := l.pages.After(t.Context(), book, "0", 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAKeyMeansOneRowToItsViewerInItsPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := openLibrary(t, memory.New())
		first := map[string]page{}
		for _, again := range []bool{false, true} {
			// The last ones would be the same if their parts were only joined.
			for _, who := range [][3]string{{"", "a", "k"}, {"ada", "a", "k"}, {"bob", "a", "k"}, {"ada", "b", "k"},
				{"ada", "a", "l"}, {"ada", "a", "K"}, {"x/y", "a", "z"}, {"x", "a", "y/z"}, {`x","y`, "a", "z"}, {"x", "a", `y","z`}} {
				name := fmt.Sprint(who)
				got, err := l.insert(t.Context(), who[0], who[1], who[2], fmt.Sprint(name, again))
				if err != nil {
					t.Fatal(name, err)
				}
				if again && got != first[name] {
					t.Errorf("%s: got %v, want the first, %v", name, got, first[name])
				}
				if !again && got.Text != name+"false" {
					t.Errorf("%s: got another's, %v", name, got)
				}
				if !again {
					first[name] = got
				}
				time.Sleep(time.Minute) // no two are for the same id
			}
		}
		if got := len(l.stored(t, "a")); got != 9 {
			t.Errorf("%d rows, want 9", got)
		}
	})
}

func TestATableWithoutASortKeyHasOneRowAKey(t *testing.T) {
	t.Parallel()
	l := openLibrary(t, memory.New())
	insert := func(key string) string {
		s, err := l.sheets.InsertOnce(t.Context(), key, func(id string) sheet { return sheet{id} })
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	if a, again, b := insert("a"), insert("a"), insert("b"); a != again || a == b {
		t.Errorf("got %s, %s, %s", a, again, b)
	}
}

func TestABadKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := memory.New()
	l := openLibrary(t, s)
	s.Fault = func(method string) memory.Fault {
		t.Error("it came to", method)
		return memory.NotApplied
	}
	for _, key := range []string{"", strings.Repeat("k", subwire.MaxKeyBytes+1)} {
		if _, err := l.insert(t.Context(), "ada", "a", key, "x"); err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("key of %d bytes: %v", len(key), err)
		}
	}
	if _, err := l.insert(t.Context(), "ada", "a", "k", strings.Repeat("x", subwire.DefaultRowBytes)); err == nil {
		t.Error("a row that is too large was not refused")
	}
	if _, err := l.pages.InsertOnce(t.Context(), "k", func(string) page { return page{"a", "1", "x"} }); err == nil {
		t.Error("a row of another id was not refused")
	}
}

func TestOfManyAtOnceOneIsStored(t *testing.T) {
	t.Parallel()
	l := openLibrary(t, memory.New())
	var all sync.Map
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			got, err := l.insert(t.Context(), "ada", "a", "k", fmt.Sprint(i))
			if err != nil {
				t.Error(err)
			}
			all.Store(got, true)
		})
	}
	wg.Wait()
	n := 0
	all.Range(func(any, any) bool { n++; return true })
	if stored := l.stored(t, "a"); n != 1 || len(stored) != 1 {
		t.Errorf("%d answers, stored %v", n, stored)
	}
}

// Each call of the store fails once, in both ways, and the mutation is sent again: at once,
// or so late that replays have passed its id.
func TestARetryStoresNoSecondRow(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		for _, wait := range []time.Duration{0, time.Minute} {
			for failing := 1; ; failing++ {
				calls := 0
				synctest.Test(t, func(t *testing.T) {
					s := memory.New()
					l := openLibrary(t, s)
					s.Fault = func(string) memory.Fault {
						if calls++; calls == failing {
							return fault
						}
						return memory.NoFault
					}
					_, err := l.insert(t.Context(), "ada", "a", "k", "first")
					if failed := calls >= failing; failed != (err != nil) {
						t.Errorf("call %d fails: got %v", failing, err)
					}
					s.Fault = nil
					time.Sleep(wait)
					again := time.Now()
					got, err := l.insert(t.Context(), "ada", "a", "k", "second")
					if err != nil {
						t.Errorf("call %d failed, again after %v: %v", failing, wait, err)
					}
					if stored := l.stored(t, "a"); len(stored) != 1 || stored[0] != got {
						t.Errorf("call %d failed, again after %v: got %v, stored %v", failing, wait, got, stored)
					}
					id, _ := ulid.Parse(got.ID) // of an error above, the zero
					if got.Text == "second" && again.Sub(ulid.Time(id.Time())) >= subwire.WriteTime {
						t.Errorf("call %d failed, again after %v: the row has an id that replays have passed", failing, wait)
					}
				})
				if calls < failing {
					break
				}
			}
		}
	}
}

// slow is a store whose calls take their time. A call that has no time left fails, and
// may be applied nevertheless, up to a second later.
type slow struct {
	table.Store
	rng *rand.Rand
	mu  sync.Mutex
}

func (s *slow) call(ctx context.Context, do func(context.Context) error) error {
	s.mu.Lock()
	took, lost := time.Duration(s.rng.Int64N(int64(2*subwire.WriteTime))), s.rng.IntN(8) == 0
	extra := time.Duration(s.rng.Int64N(int64(time.Second)))
	if s.rng.IntN(3) == 0 {
		took = 0
	}
	s.mu.Unlock()
	arrived := make(chan error, 1)
	go func() {
		deadline, ok := ctx.Deadline()
		if ok {
			took = min(took, time.Until(deadline)+extra)
		}
		time.Sleep(took)
		arrived <- do(context.WithoutCancel(ctx))
	}()
	select {
	case err := <-arrived:
		if lost {
			return errors.New("the answer is lost")
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) PutRow(ctx context.Context, t topology.Table, r table.Row, c table.Condition) error {
	return s.call(ctx, func(ctx context.Context) error { return s.Store.PutRow(ctx, t, r, c) })
}

func (s *slow) GetRow(ctx context.Context, t topology.Table, k table.Key, n int) (table.Row, error) {
	var found table.Row
	err := s.call(ctx, func(ctx context.Context) (err error) {
		found, err = s.Store.GetRow(ctx, t, k, n)
		return err
	})
	if err != nil { // it may still be reading
		return nil, err
	}
	return found, nil
}

// Whatever a slow store does to the calls of two clients with one key, there is one row in
// the end, and every answer had it.
func TestARowIsStoredOnceHoweverLateAWriteComes(t *testing.T) {
	t.Parallel()
	answers := 0
	for seed := range uint64(1000) {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			l := openLibrary(t, &slow{Store: s, rng: rand.New(rand.NewPCG(seed, 1))})
			var mu sync.Mutex
			got := map[page]bool{}
			var wg sync.WaitGroup
			for client := range 2 {
				rng := rand.New(rand.NewPCG(seed, uint64(2+client)))
				wg.Go(func() {
					for try, done := 0, 0; done < 2; try++ {
						if try > 100 {
							t.Errorf("seed %d: no answer to the last of %d tries", seed, try)
							return
						}
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						p, err := l.insert(ctx, "ada", "a", "k", fmt.Sprint(client, try))
						cancel()
						if err == nil {
							done++
							mu.Lock()
							got[p] = true
							mu.Unlock()
						}
						time.Sleep(time.Duration(rng.Int64N(int64(8 * time.Second))))
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Minute) // whatever was on its way has come
			stored := openLibrary(t, s).stored(t, "a")
			if len(stored) != 1 || len(got) != 1 || !got[stored[0]] {
				t.Errorf("seed %d: answers %v, stored %v", seed, got, stored)
			}
			answers += len(got)
		})
	}
	if answers == 0 {
		t.Error("nothing was answered")
	}
}

// One who is in two tenants has the same id in both. A key of one means nothing to the
// other.
func TestAKeyIsOfItsTenant(t *testing.T) {
	t.Parallel()
	app := subwire.New("library")
	app.Tenant = "tenant"
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	sheets := subwire.NewTable[sheet](app, subwire.TableSpec{Name: "sheets", Key: "id", Once: true}, nil)
	if _, err := app.Open(subwire.Env{Tables: memory.New()}); err != nil {
		t.Fatal(err)
	}
	insert := func(tenant string) string {
		t.Helper()
		ctx := pubsub.WithViewer(t.Context(), pubsub.Viewer{ID: "ada", Claims: `{"tenant":"` + tenant + `"}`})
		row, err := sheets.InsertOnce(ctx, "k", func(id string) sheet { return sheet{ID: id} })
		if err != nil {
			t.Fatal(err)
		}
		return row.ID
	}
	if red := insert("red"); red == insert("blue") || red != insert("red") {
		t.Error("the key of one tenant means a row to another")
	}
}
