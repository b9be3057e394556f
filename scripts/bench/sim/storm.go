package sim

import (
	"math/rand/v2"
	"time"
)

// Storm is many clients that lose their sockets at once and reconnect, with one
// subscription each.
type Storm struct {
	Clients int
	Topics  int  // number of topics they subscribe to
	Wait    Wait // before each attempt
}

// Wait is how long a client waits before it connects, after that many attempts.
type Wait func(random *rand.Rand, attempts int) time.Duration

// Recommended is the wait of docs/clients.md: 1 s, doubled each time up to 30 s, less
// up to half of it at random.
func Recommended(random *rand.Rand, attempts int) time.Duration {
	wait := min(time.Second<<min(attempts, 5), 30*time.Second)
	return wait - time.Duration(random.Int64N(int64(wait/2)))
}

// GraphQLWS is the default of the npm package graphql-ws ("retryWait" in its
// ClientOptions): 2^attempts seconds, without a maximum, plus 0.3 to 3 s.
func GraphQLWS(random *rand.Rand, attempts int) time.Duration {
	return time.Second<<min(attempts, 20) + 300*time.Millisecond + time.Duration(random.Int64N(int64(2700*time.Millisecond)))
}

type storm struct {
	Config
	loop
	Storm
	random   *rand.Rand
	connects *rate
	requests *rate
	topics   []*rate
	writes   Use
	lambdas  *slots
	result   Result
}

// Reconnect simulates the storm: how long it takes until every client has its
// subscription again.
func Reconnect(c Config, s Storm) Result {
	r := &storm{Config: c, Storm: s, random: rand.New(rand.NewPCG(c.Seed, 0)),
		connects: newRate(ConnectLimit, c.Quotas.Connects, c.Quotas.Connects),
		requests: newRate(RequestLimit, c.Quotas.Requests, c.Quotas.RequestBurst),
		lambdas:  newSlots(LambdaLimit, c.Quotas.Concurrency), writes: Use{Name: WriteLimit, Quota: c.Quotas.TopicWrites}}
	for range s.Topics {
		r.topics = append(r.topics, newRate(WriteLimit, c.Quotas.TopicWrites, c.Quotas.TopicWrites))
	}
	r.result.Wanted = s.Clients
	for client := range s.Clients {
		r.again(client, 0, nil)
	}
	r.run()
	for _, t := range r.topics {
		r.writes.Peak = max(r.writes.Peak, t.Peak)
	}
	r.result.finish(r.connects.Use, r.requests.Use, r.lambdas.Use, r.writes)
	return r.result
}

// again lets a client connect after its wait, which is charged to the limit.
func (r *storm) again(client, retries int, cause *Use) {
	wait := r.Wait(r.random, retries)
	if cause != nil {
		cause.hit(r.now, 1, wait)
	}
	r.after(wait, func() { r.connect(client, retries+1) })
}

// connect is the upgrade. Its quota refuses at once.
func (r *storm) connect(client, retries int) {
	if !r.connects.take(r.now) {
		r.again(client, retries, &r.connects.Use)
		return
	}
	r.function(client, retries, func() {
		// connection_init and its ack, then subscribe.
		r.message(client, retries, func() {
			r.message(client, retries, func() { r.subscribe(client, retries) })
		})
	})
}

func (r *storm) function(client, retries int, done func()) {
	if !r.lambdas.free() {
		r.again(client, retries, &r.lambdas.Use)
		return
	}
	r.lambdas.take()
	r.after(r.Times.Message, func() {
		r.lambdas.inUse--
		done()
	})
}

// message is a message of the client and, for the first, the answer to it; each is a
// request of the account. A refused one is lost, and the client starts over when no
// answer comes.
func (r *storm) message(client, retries int, done func()) {
	if !r.requests.take(r.now) {
		r.again(client, retries, &r.requests.Use)
		return
	}
	r.function(client, retries, done)
}

// patience is how long the store retries a throttled write: the time of the message's
// invocation, less its answer.
const patience = 20 * time.Second

// subscribe writes the row, which takes a unit of the topic's partition.
func (r *storm) subscribe(client, retries int) {
	topic := r.topics[client%len(r.topics)]
	topic.fill(r.now)
	if topic.tokens < -patience.Seconds()*topic.Quota {
		r.again(client, retries, &r.writes)
		return
	}
	wait := topic.reserve(r.now, 1)
	if wait > 0 {
		r.writes.hit(r.now, 1, wait)
	}
	r.after(wait, func() { r.result.times = append(r.result.times, r.now) })
}
