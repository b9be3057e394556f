package sim

import "time"

// How the sender treats a busy post, as in package delivery: it retries after pauses
// up to these, then queues the target with growing delays.
const (
	tries       = 3
	firstPause  = 30 * time.Millisecond
	firstDelay  = 2 * time.Second
	longestWait = 15 * time.Minute
	maxAttempts = 8
)

// invocation is one run of the sender with some batches.
type invocation struct {
	*fanout
	batches []delivery
	begun   time.Duration
	cpu     time.Duration // the vCPU is busy until then
	current int           // the batch being posted
	next    int           // its next target
	again   []post        // posts that wait for a worker after a pause
	running int           // workers
	pausing int           // posts
	left    []int         // by batch: targets to be queued
	done    func()
}

// post is one target of a batch.
type post struct{ batch, try int }

// invoke runs a sender in a slot, and calls done when it ends.
func (f *fanout) invoke(s *slots, batches []delivery, done func()) {
	s.take()
	i := &invocation{fanout: f, batches: batches, begun: f.now, left: make([]int, len(batches)), done: done}
	for _, b := range batches {
		s.Waited += time.Duration(b.targets) * (f.now - b.since)
	}
	f.after(f.Times.Sender, i.fill)
}

// fill gives every free worker a post. It ends the invocation when nothing is left.
func (i *invocation) fill() {
	for i.running < i.Quotas.Workers {
		p, ok := i.take()
		if !ok {
			break
		}
		i.running++
		i.cpu = max(i.cpu, i.now) + i.Times.PostCPU
		i.at(i.cpu, func() { i.post(p) })
	}
	if i.running == 0 && i.pausing == 0 && len(i.again) == 0 && i.current == len(i.batches) {
		i.end()
	}
}

func (i *invocation) take() (p post, ok bool) {
	if len(i.again) > 0 {
		p, i.again = i.again[0], i.again[1:]
		return p, true
	}
	for i.current < len(i.batches) {
		if i.next < i.batches[i.current].targets {
			i.next++
			return post{batch: i.current, try: 1}, true
		}
		i.current, i.next = i.current+1, 0
	}
	return post{}, false
}

// post sends one post, if the account's quota allows it.
func (i *invocation) post(p post) {
	if i.now-i.begun > i.Quotas.SenderTimeout {
		i.left[p.batch]++
		i.free()
		return
	}
	if i.requests.take(i.now) {
		i.after(i.Times.Post, func() {
			i.result.times = append(i.result.times, i.now-i.batches[p.batch].posted)
			i.free()
		})
		return
	}
	i.requests.hit(i.now, 1, i.Times.Post)
	i.after(i.Times.Post, func() {
		if p.try == tries {
			i.left[p.batch]++
		} else {
			i.pause(p)
		}
		i.free()
	})
}

// pause lends the worker to others for a while.
func (i *invocation) pause(p post) {
	long := firstPause
	for range p.try - 1 {
		long *= 5
	}
	i.pausing++
	wait := time.Duration(i.random.Int64N(int64(long)))
	i.requests.Waited += wait
	i.after(wait, func() {
		i.pausing--
		i.again = append(i.again, post{batch: p.batch, try: p.try + 1})
		i.fill()
	})
}

func (i *invocation) free() {
	i.running--
	i.fill()
}

// end queues what is left, with a delay, or parks it.
func (i *invocation) end() {
	i.current++ // it ends once
	for n, left := range i.left {
		if left == 0 {
			continue
		}
		again := i.batches[n]
		again.targets, again.attempt = left, again.attempt+1
		if again.attempt > maxAttempts {
			i.result.Parked += left
			continue
		}
		wait := min(firstDelay<<(2*(again.attempt-1)), longestWait)
		wait = (wait - time.Duration(i.random.Int64N(int64(wait/5+1)))).Round(time.Second)
		i.requests.Waited += time.Duration(left) * wait
		f := i.fanout
		f.after(wait, func() {
			again.since = f.now
			f.retries = append(f.retries, again)
			f.retry()
		})
	}
	i.done()
}

// retry starts senders for queued retries.
func (f *fanout) retry() {
	for len(f.retries) > 0 && f.retriers.free() {
		n := min(len(f.retries), f.Quotas.Receive)
		batch := f.retries[:n:n]
		f.retries = f.retries[n:]
		f.invoke(f.retriers, batch, func() {
			f.retriers.inUse--
			f.retry()
		})
	}
	if len(f.retries) > 0 {
		f.retriers.hit(f.now, 1, 0)
	}
}
