package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const (
	hereQuery = `subscription ($chatId: ID!, $as: ID) { here(chatId: $chatId, as: $as) { count more } }`
)

// visitor is a page: it shows how many are here, and is loaded again now and then.
type visitor struct {
	*testing.T
	cloud    *cloud.Cloud
	chat, as string
	reading  sync.WaitGroup
	client   *wsclient.Client

	mu     sync.Mutex // guards what follows
	latest int        // count of the page as it is now; -1 for none
	lowest int        // since all are here
	late   bool       // whether it was away for longer than the grace
	left   bool
}

// loads bounds how many pages are loaded at once, so that a busy machine takes no longer
// than the grace.
var loads = make(chan struct{}, 6)

// enter opens the page, again and again if the pipeline dies meanwhile, until it shows a
// count.
func (v *visitor) enter(ctx context.Context) {
	v.mu.Lock()
	v.left = false
	v.mu.Unlock()
	for ctx.Err() == nil {
		if v.try(ctx) {
			return
		}
	}
	v.Errorf("%s did not come in\nfunctions' logs:\n%s", v.as, logs.String())
}

func (v *visitor) try(ctx context.Context) bool {
	// A subscribe that is lost with its process has no answer.
	once, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	c, err := wsclient.Dial(once, v.cloud.WSURL, wsclient.Options{})
	if err != nil {
		return false
	}
	variables := map[string]any{"chatId": v.chat, "as": v.as}
	_, err = c.Subscribe(once, wsclient.Operation{Query: `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { id } }`,
		Variables: map[string]any{"chatId": v.chat}})
	var s *wsclient.Subscription
	if err == nil {
		s, err = c.Subscribe(once, wsclient.Operation{Query: hereQuery, Variables: variables})
	}
	var first json.RawMessage
	if err == nil {
		first, err = s.Next(once)
	}
	if err != nil {
		c.Close()
		return false
	}
	v.client = c
	v.show(first)
	v.reading.Go(func() {
		for {
			m, err := s.Next(ctx)
			if err != nil {
				v.lost()
				return
			}
			v.show(m)
		}
	})
	return true
}

func (v *visitor) show(result json.RawMessage) {
	var told struct {
		Data struct{ Here *pubsub.Presence }
	}
	if err := json.Unmarshal(result, &told); err != nil || told.Data.Here == nil || told.Data.Here.More {
		v.Errorf("%s was told %s, %v", v.as, result, err)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.latest = told.Data.Here.Count
	v.lowest = min(v.lowest, v.latest)
}

// lost notes that the page lost its socket, when it did not leave: the process that had
// one of its messages was killed.
func (v *visitor) lost() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.left {
		v.latest, v.late = -1, true
	}
}

func (v *visitor) isLost() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.latest < 0
}

func (v *visitor) leave() {
	v.mu.Lock()
	v.left = true
	v.mu.Unlock()
	v.client.Close()
	v.reading.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.latest = -1
}

func (v *visitor) reload(ctx context.Context) {
	loads <- struct{}{}
	defer func() { <-loads }()
	begin := time.Now()
	v.leave()
	v.enter(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.late = v.late || time.Since(begin) > pubsub.PresenceGrace
}

// Presence equals the open sockets, after the grace, though processes are killed, also one
// that holds sockets, and $disconnects lost; and whoever only loads a page again never
// leaves.
func TestPresenceEqualsTheOpenSockets(t *testing.T) {
	const visitors, stay = 30, 18
	faults := "lambda.stream:kill@0.1,stream:duplicate@0.1"
	if !onHost {
		faults += ",lambda.disconnect:kill@0.1,lambda.message:kill@0.02,disconnect:drop@0.3"
	}
	plan, err := plans.Parse(faults)
	if err != nil {
		t.Fatal(err)
	}
	c, err := startCloud(t.Context(), cloud.Config{Root: "../..", Output: &logs, Faults: plan, Seed: 1, Redelivery: time.Second,
		Settings: map[string]string{topology.InitTimeout.Env: "5m"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx := within(t)
	var all []*visitor
	each := func(do func(i int, v *visitor)) {
		var wait sync.WaitGroup
		for i, v := range all {
			wait.Go(func() { do(i, v) })
		}
		wait.Wait()
	}
	for i := range visitors {
		all = append(all, &visitor{T: t, cloud: c, chat: "here", as: fmt.Sprint("visitor-", i)})
	}
	show := func(n int) func() bool {
		return func() bool {
			for _, v := range all {
				v.mu.Lock()
				latest := v.latest
				v.mu.Unlock()
				if latest != n && latest >= 0 {
					return false
				}
			}
			return true
		}
	}
	each(func(_ int, v *visitor) { v.enter(ctx) })
	await(t, "all of them see all", show(visitors))
	for _, v := range all {
		v.mu.Lock()
		v.lowest = visitors
		v.mu.Unlock()
	}
	reloads := func(i int, v *visitor) {
		for range 1 + rand.New(rand.NewPCG(seed, uint64(i))).IntN(4) {
			v.reload(ctx)
		}
	}
	each(reloads)
	checkLowest(t, all, all) // so far nobody has left
	each(func(i int, v *visitor) {
		if onHost && i == 0 { // the process dies with all its sockets, while others load
			if h, err := c.Hosts.Node(0); err != nil {
				t.Error(err)
			} else if err := c.Hosts.Kill(ctx, h); err != nil {
				t.Error(err)
			}
		}
		if reloads(i, v); i >= stay {
			v.leave()
		}
	})
	c.Injector.Heal()
	for _, v := range all[:stay] {
		if v.isLost() {
			v.reload(ctx)
		}
	}
	chatPost(t, c)

	open := len(c.Gateway.Connections())
	if onHost {
		open = listening(t, c, chat.Topic("here")) // one of each page
	}
	if open != stay {
		t.Errorf("%d sockets are open, of %d visitors", open, stay)
	}
	await(t, "one row for each", func() bool {
		there, left := present(t, c, "here")
		return there == open && left == 0
	})
	await(t, "all of them see the open sockets", show(open))

	checkLowest(t, all, all[:stay])
	t.Logf("met %v", c.Injector.Met())
	each(func(_ int, v *visitor) { v.leave() })
}

// present counts the rows of those who are in the chat, and of those who have left.
func present(t *testing.T, c *cloud.Cloud, chatID string) (there, left int) {
	t.Helper()
	rows := dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Subscriptions: c.Tables[topology.Subscriptions.Name]})
	for s, err := range rows.Subscriptions(t.Context(), pubsub.PresencePrefix+chatID, time.Time{}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case s.Left.IsZero():
			there++
		default:
			left++
		}
	}
	return there, left
}

// Whoever looks on does not see a page being loaded again.
func TestAReloadIsNoLeave(t *testing.T) {
	t.Parallel()
	ctx, chatID := within(t), t.Name()
	ada, bob := &visitor{T: t, cloud: local, chat: chatID, as: "ada"}, &visitor{T: t, cloud: local, chat: chatID, as: "bob"}
	ada.enter(ctx)
	bob.enter(ctx)
	lowest := func() int { // since the last call
		ada.mu.Lock()
		defer ada.mu.Unlock()
		n := ada.lowest
		ada.lowest = 2
		return n
	}
	await(t, "ada sees both", func() bool { ada.mu.Lock(); defer ada.mu.Unlock(); return ada.latest == 2 })
	lowest()
	for range 10 {
		begin := time.Now()
		bob.leave()
		await(t, "bob has left", func() bool { there, _ := present(t, local, chatID); return there == 1 })
		bob.enter(ctx)
		if n := lowest(); n < 2 && time.Since(begin) < pubsub.PresenceGrace {
			t.Errorf("ada saw %d here", n)
		}
	}
	ada.leave()
	bob.leave()
}

// checkLowest fails the test if anybody saw fewer than were always there, as far as the
// grace goes.
func checkLowest(t *testing.T, all, there []*visitor) {
	t.Helper()
	always := 0
	for _, v := range there {
		v.mu.Lock()
		if !v.late {
			always++
		}
		v.mu.Unlock()
	}
	t.Logf("%d never left", always)
	for _, v := range all {
		v.mu.Lock()
		if v.lowest < always {
			t.Errorf("%s saw %d here, though %d never left", v.as, v.lowest, always)
		}
		v.mu.Unlock()
	}
}

// chatPost writes a message to the chat, by a socket.
func chatPost(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	w, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	_, err = w.Query(within(t), wsclient.Operation{Query: `mutation ($chatId: ID!) {
		postMessage(chatId: $chatId, content: "still here?", senderName: "Ada") { id } }`, Variables: map[string]any{"chatId": "here"}})
	if err != nil {
		t.Fatal(err)
	}
}
