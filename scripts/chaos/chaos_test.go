package chaos

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/faults"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

var (
	long   = flag.Bool("chaos.long", false, "run every scenario in full size, again and again for its share of the time")
	busy   = flag.Bool("chaos.busy", false, "keep a core busy with another process meanwhile")
	repeat = flag.Uint64("chaos.seed", 0, "`seed` of a run to repeat, once")
	logs   = flag.String("chaos.log", "", "`folder` for the cloud's output, a file for each round")
)

// tool is the path of the built operator's tool.
var tool string

func TestMain(m *testing.M) {
	if os.Getenv(burnEnv) != "" {
		burn()
	}
	flag.Parse()
	// Tests mostly wait, for queues and for later checks. But each has a whole cloud,
	// and more at once starve on two cores.
	if err := flag.Set("test.parallel", "2"); err != nil {
		log.Fatal(err)
	}
	if *busy {
		if err := startBurner(); err != nil {
			log.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	tool = filepath.Join(dir, "subwire")
	if out, err := exec.Command("go", "build", "-o", tool, "../subwire").CombinedOutput(); err != nil {
		log.Fatalf("build: %v\n%s", err, out)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code) // ends the burner's input, and so the burner
}

// patience bounds every wait for the pipeline. It is not an expectation: a standstill
// is noticed long before, see stall. It is shorter than the test's own time-out,
// which would not say what was awaited.
func patience() time.Duration { return time.Duration(size(20, 8)) * time.Minute }

// postPause separates posts to one chat that only fill time. The long form has much
// time to fill, and everything that results from all posts must be delivered.
func postPause() time.Duration { return time.Duration(size(250, 50)) * time.Millisecond }

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	t.Cleanup(cancel)
	return ctx
}

// onEveryProduct plays a scenario on the chat, and on the shop in a quarter of the time.
func onEveryProduct(t *testing.T, share time.Duration, play func(t *testing.T, p product, seed uint64)) {
	t.Helper()
	t.Run("chat", func(t *testing.T) {
		rounds(t, share, func(t *testing.T, seed uint64) { play(t, new(chats), seed) })
	})
	t.Run("shop", func(t *testing.T) {
		rounds(t, share/4, func(t *testing.T, seed uint64) { play(t, new(orders), seed) })
	})
}

// few is n clients of the chat, or as many of another product as cost the same.
func few(p product, n int) int {
	if _, ok := p.(*chats); ok {
		return n
	}
	return (n + 2) / 3
}

// rounds plays a scenario once; in the long form it repeats it with new seeds until
// its share of the time is over. The seed of a round is its name.
func rounds(t *testing.T, share time.Duration, play func(t *testing.T, seed uint64)) {
	t.Helper()
	if !*long {
		t.Parallel()
	}
	for begin := time.Now(); ; {
		seed := *repeat
		if seed == 0 {
			seed = rand.Uint64()
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { play(t, seed) })
		if !*long || *repeat != 0 || t.Failed() || time.Since(begin) > share {
			return
		}
	}
}

// size is n in the long form, else short.
func size(n, short int) int {
	if *long {
		return n
	}
	return short
}

func start(t *testing.T, s Setup) *Harness {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	s.Root = "../.."
	if *logs != "" {
		file, err := os.Create(filepath.Join(*logs, strings.ReplaceAll(t.Name(), "/", ".")+".log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		s.Log = file
	}
	h, err := Start(within(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h
}

// postAll posts n events of each of the subjects at once, and more until meanwhile,
// which may be nil, returns.
func postAll(t *testing.T, h *Harness, subjects []string, n int, meanwhile func() error) (failed int) {
	t.Helper()
	over := make(chan struct{})
	var mu sync.Mutex
	var posters sync.WaitGroup
	for _, subject := range subjects {
		posters.Go(func() {
			pace := time.NewTicker(postPause())
			defer pace.Stop()
			for i := 0; i < n || !closed(over); i++ {
				if i >= n {
					<-pace.C
				}
				k, err := h.PostMany(t.Context(), subject, 1)
				if err != nil {
					return
				}
				mu.Lock()
				failed += k
				mu.Unlock()
			}
		})
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			t.Error(err)
		}
	}
	close(over)
	posters.Wait()
	return failed
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func subjects(p product, n int) (all []string) {
	for i := range n {
		all = append(all, p.subject(i))
	}
	return all
}

// between is the share of arrivals that may be duplicates because guests come and go between
// the two announcements of an event: then all of a message group get it again.
const between = 0.2

// settle ends what comes to an end, waits until everything has arrived, redrives the dead letters, and checks
// every invariant. Duplicates, without repeats, are at most the given share of all
// arrivals. It returns how many batches were redriven.
func settle(t *testing.T, h *Harness, failed int, duplicates float64) (redriven int) {
	t.Helper()
	ctx := within(t)
	before := h.again()
	failed += postAll(t, h, h.product.end(), 1, nil)
	h.Stay()
	for again := true; again; {
		drain(t, h)
		n, err := h.Redrive(ctx, tool)
		if err != nil {
			t.Fatal(err)
		}
		redriven += n
		again = n > 0
	}
	run, err := h.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := Check(run)
	if h.fast {
		duplicates += between
	}
	t.Logf("%d clients, %d events stored, %d of them announced, %d posts failed; %d pairs owed, %d lost, %d dropped; %d arrivals, %d repeats, %d duplicates, %d late (%d by retries, %d left to the stream); %d subscriptions completed, %d messages after that; %d events retried, %d batches redriven; connections: %v; faults %v",
		len(h.clients), f.Events, len(run.Announced), failed, f.Owed, f.Lost, f.Dropped, f.Deliveries, f.Repeats, f.Duplicates, f.Late, f.Overtaken, f.Left, f.Completed, f.Strays, f.Retried, redriven, h.Ends(), h.Met())
	report(t, append(problems, h.Ended()...))
	if n := h.Unstored(run); n != 0 {
		t.Errorf("%d posts were answered and are not stored", n)
	}
	if share := float64(f.Duplicates) / float64(f.Deliveries); share > duplicates {
		t.Errorf("%.3f of the arrivals are duplicates, more than %.3f", share, duplicates)
	}
	// What is sent again after the end are both of its messages. What comes by the queue of
	// retries may come after the end, too. The ends are posted at once, so one fault may send
	// all of them again.
	repeats := duplicates + float64(h.again()-before)
	if most := 2 * (repeats*float64(f.Completed) + float64(f.Overtaken)); f.Completed > 0 && float64(f.Strays) > most {
		t.Errorf("%d messages came after the ends of %d subscriptions, more than %.1f", f.Strays, f.Completed, most)
	}
	if all := pairs(run); f.Owed == 0 || all > 0 && f.Owed != all {
		t.Errorf("%d pairs are owed of %d: all clients were subscribed before the first post", f.Owed, all)
	}
	if n, err := h.DeadLetters(ctx); err != nil || n > 0 {
		t.Errorf("%d dead letters are left (%v)", n, err)
	}
	h.Heal()
	report(t, h.Sweep(within(t)))
	if err := h.AwaitConnectionChecks(within(t)); err != nil {
		t.Error(err)
	}
	return redriven
}

// pairs counts the events times those of their listeners that resume.
func pairs(r Run) (n int) {
	for _, e := range r.Events {
		n += countListeners(r, e)
	}
	return n
}

func drain(t *testing.T, h *Harness) {
	t.Helper()
	if err := h.Drain(within(t)); err != nil {
		run, runErr := h.Run(t.Context())
		_, problems := Check(run)
		report(t, problems)
		t.Fatal(err, runErr)
	}
}

func report(t *testing.T, problems []string) {
	t.Helper()
	const most = 20
	if len(problems) > 0 {
		t.Errorf("%d problems:\n%s", len(problems), strings.Join(problems[:min(most, len(problems))], "\n"))
	}
}

func TestNothingIsLostUnderTheFaultPlan(t *testing.T) {
	onEveryProduct(t, 4*time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(20, 10)
		h := start(t, Setup{Plan: faults.Full, Seed: seed, Product: p, Subjects: n,
			Clients: few(p, size(180, 90)), Guests: few(p, size(20, 10)), Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000"}})
		failed := postAll(t, h, subjects(p, n), size(2000, 300)/n, nil)
		settle(t, h, failed, 0.1)
	})
}

// By the fast way each event is announced twice, and faults make one of the two fail, or both for
// a while. Some writers die between the write and their announcement, or before they answer. What
// the writer could not announce comes by the stream, perhaps after what it could. What it announced
// is in order.
func TestNothingIsLostByTheFastWay(t *testing.T) {
	rounds(t, time.Minute, func(t *testing.T, seed uint64) {
		n := size(20, 4)
		h := start(t, Setup{Plan: faults.Full + ",lambda.graphql:kill@0.05", Seed: seed, Product: new(chats), Subjects: n,
			Clients: size(90, 20), Guests: size(10, 4), Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000", topology.Fast.Env: "true"}})
		failed := postAll(t, h, subjects(h.product, n), size(1000, 100)/n, nil)
		settle(t, h, failed, 0.1)
		if h.Announced() == 0 {
			t.Error("no event was announced by its writer")
		}
	})
}

// Topics get parts and lose them while clients come and go, under the fault plan.
func TestNothingIsLostWhileTopicsGrowAndShrink(t *testing.T) {
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(10, 4)
		h := start(t, Setup{Plan: faults.Full, Seed: seed, Product: p, Subjects: n,
			Clients: few(p, size(90, 16)), Guests: few(p, size(20, 8)), Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000", topology.LargeTopics.Env: "true"}})
		failed := postAll(t, h, subjects(p, n), size(100, 15), func() error {
			return h.await(within(t), "a row in a part", func() (bool, error) { return h.parts.used(), nil })
		})
		settle(t, h, failed, 0.25)
	})
}

func TestNothingIsLostWhenProcessesAreKilled(t *testing.T) {
	const plan = "lambda.connect:kill@0.1,lambda.message:kill@0.1,lambda.disconnect:kill@0.3," +
		"lambda.graphql:kill@0.1,lambda.stream:kill@0.2,lambda.sender:kill@0.1"
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(10, 4)
		h := start(t, Setup{Plan: plan, Seed: seed, Product: p, Subjects: n,
			Clients: few(p, size(90, 20)), Guests: few(p, size(10, 4)), Redelivery: time.Second})
		failed := postAll(t, h, subjects(p, n), size(100, 20), nil)
		settle(t, h, failed, 0.25)
		if len(h.Met()) == 0 {
			t.Error("nothing was killed")
		}
	})
}

// Failures are received again as often as in an outage of some minutes on AWS, where
// a message is hidden for three minutes.
func TestNothingIsLostOrParkedInAnOutage(t *testing.T) {
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(10, 4)
		all := subjects(p, n)
		length, hidden := time.Second, time.Second
		if *long {
			length, hidden = 45*time.Second, 15*time.Second
		}
		h := start(t, Setup{Seed: seed, Data: t.TempDir(), Product: p, Subjects: n,
			Clients: few(p, size(90, 20)), Guests: few(p, size(10, 4)), Redelivery: hidden})
		if err := h.SetVisibility(within(t), 15*time.Second); err != nil {
			t.Fatal(err)
		}
		failed := postAll(t, h, all, size(30, 10), nil) // guests come and go
		drain(t, h)
		failed += postAll(t, h, all, size(100, 20), func() error { return h.Outage(within(t), length) })
		drain(t, h)
		failed += postAll(t, h, all, size(30, 10), nil)
		if n := settle(t, h, failed, 0.25); n > 0 {
			t.Errorf("%d batches were parked", n)
		}
	})
}

// All sockets are cut at once, as when a network is lost, and every client starts all
// its subscriptions again at once.
func TestAReconnectStormStartsEverySubscription(t *testing.T) {
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		const n = 30
		h := start(t, Setup{Seed: seed, Product: p, Subjects: n, Clients: size(12, 6), Listens: n, Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000"}})
		storms := func() error {
			for range size(3, 2) {
				if err := h.Storm(within(t)); err != nil {
					return err
				}
			}
			return nil
		}
		failed := postAll(t, h, subjects(p, size(10, 4)), size(20, 4), storms)
		settle(t, h, failed, 0.02) // a post that is cut off may have arrived
		waitFor(t, h, "the counts of cut connections to be gone", func(Run) bool {
			n, err := h.Counted(within(t))
			return err == nil && n == len(h.clients)
		})
	})
}

func TestABugInOneChatDisturbsNoOtherAndIsRedriven(t *testing.T) {
	rounds(t, time.Minute, func(t *testing.T, seed uint64) {
		const bad, badMessages = "chat-0", 10
		n := size(10, 4)
		redelivery := time.Duration(size(3, 1)) * time.Second // twenty redeliveries must outlast the other chats' posts
		h := start(t, Setup{Plan: "sender:fail(" + chat.Topic(bad) + ")", Seed: seed, Product: new(chats), Subjects: n,
			Settings: map[string]string{topology.Direct.Env: "0"}, // the bug is in the sender
			Clients:  size(100, 24), Redelivery: redelivery})
		good := subjects(h.product, n)[1:]
		failed := postAll(t, h, good, 2, nil) // starts the processes
		drain(t, h)
		warm := time.Now()
		failed += postAll(t, h, good, size(100, 10), nil)
		drain(t, h)
		switched := time.Now()

		var faulty sync.WaitGroup
		faulty.Go(func() { postAll(t, h, []string{bad}, badMessages, nil) })
		failed += postAll(t, h, good, size(100, 10), nil)
		faulty.Wait()
		isBad := func(e Event) bool { return e.Subject == bad }
		waitFor(t, h, "the other chats' events", func(run Run) bool {
			run.Events = slices.DeleteFunc(run.Events, isBad)
			f, _ := Check(run)
			return f.Lost == 0
		})
		if n, err := h.DeadLetters(within(t)); err != nil || n > 0 {
			t.Errorf("%d events were given up before the other chats' had arrived (%v)", n, err)
		}
		drain(t, h) // the failed ones are in dead letters
		run, err := h.Run(within(t))
		if err != nil {
			t.Fatal(err)
		}
		before := median(run.Latencies(func(e Event) bool { return e.Posted.After(warm) && e.Posted.Before(switched) }))
		during := median(run.Latencies(func(e Event) bool { return !isBad(e) && e.Posted.After(switched) }))
		f, _ := Check(run)
		t.Logf("median latency of the other chats: %s without the bug, %s with it (ratio %.2f); %d pairs not delivered by the buggy sender",
			before, during, float64(during)/float64(before), f.Lost)
		if lost := badMessages * countListeners(run, Event{Subject: bad}); f.Lost != lost {
			t.Errorf("%d pairs were not delivered, want the %d of %s", f.Lost, lost, bad)
		}
		h.Heal()
		settle(t, h, failed, 0)
		if run, err = h.Run(within(t)); err != nil || len(run.Parked) != badMessages {
			t.Errorf("%d events were in dead letters, want %d (%v)", len(run.Parked), badMessages, err)
		}
	})
}

func waitFor(t *testing.T, h *Harness, what string, condition func(Run) bool) {
	t.Helper()
	ctx := within(t)
	if err := h.await(ctx, what, func() (bool, error) {
		run, err := h.Run(ctx)
		return err == nil && condition(run), err
	}); err != nil {
		t.Fatal(err)
	}
}

func countListeners(r Run, e Event) (n int) {
	for _, l := range r.Listeners {
		if l.Resumes && l.Wants(e) {
			n++
		}
	}
	return n
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2].Round(time.Millisecond)
}
