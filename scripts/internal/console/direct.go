package console

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"subwire/scripts/internal/story"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// Events that the stream function delivers itself. It logs whom it is about to deliver to,
// as nobody else knows, and what came of it. A post says only that it is of that function,
// so it is held until a line ends the event whose target it went to.
//
// A post is of an event if it began between the event's two lines. Only an operation with
// several topics may be meant by two events then. Its post is of the event whose id it has,
// or whose other targets got the same. Else, and if an event is handled twice at once, what was
// posted may be another event's; whether the target got it is right, and so are the sums.

// What is held at most.
const (
	heldPosts = 5000
	heldBytes = 16 << 20
	heldTime  = time.Minute // whoever posted has been ended by then
)

// lineTime is by how much a line may be later than the time that it has: functions log whole
// milliseconds, and posts have exact times.
const lineTime = time.Millisecond

// post is one of the stream function's, whose event is not known yet.
type post struct {
	place
	kind       string
	payload    []byte
	hash       uint64
	begin, end time.Time
	status     int
}

func (r *Recorder) hold(p *post) {
	r.held = append(r.held, p)
	r.heldBytes += len(p.payload)
	n := 0
	for n < len(r.held) && (len(r.held)-n > heldPosts || r.heldBytes > heldBytes || p.end.Sub(r.held[n].end) > heldTime) {
		r.heldBytes -= len(r.held[n].payload)
		n++
	}
	r.held = slices.Delete(r.held, 0, n)
}

// directly makes the targets known that the line names. An event that comes again has two.
func (r *Recorder) directly(l story.Line) {
	m := message{Batch: fanout.Batch{Event: pubsub.Event{ID: l.Event, Trace: l.Trace}}, queued: l.At}
	for _, t := range l.Tasks {
		task := fanout.Task{Operation: t.Operation}
		for _, to := range t.Targets {
			task.Targets = append(task.Targets, fanout.Target{ConnectionID: to[0], OperationID: to[1]})
		}
		m.Tasks = append(m.Tasks, task)
	}
	b := r.add(m)
	if b == nil {
		return
	}
	b.direct, b.request, b.begin = true, l.Request, l.At
	r.batches[l.Request] = append(r.batches[l.Request], b)
}

// deliveredDirectly gives the event's targets their answers and outcomes. Without a line that
// named them, as of a stack, only their sums are known.
func (r *Recorder) deliveredDirectly(l story.Line) {
	r.sent(l)
	if l.Outcome == nil {
		return
	}
	i := slices.IndexFunc(r.batches[l.Request], func(b *batch) bool {
		return b.direct && b.outcome == nil && b.event.id == l.Event
	})
	if i < 0 {
		if r.OnlyLines || !r.event(l.Event).forgotten {
			r.report(l)
		}
		return
	}
	b := r.batches[l.Request][i]
	b.end, b.outcome = l.At, l.Outcome
	if b.event.forgotten {
		return
	}
	r.answers(b)
	r.assign(b, l)
	r.say(b.event)
}

// answers finds the posts of a direct batch that has ended. First come the targets with one
// thing to choose from: what they got helps to know what the others did.
func (r *Recorder) answers(b *batch) {
	var mine []*post
	may := map[place][]*post{}
	for _, l := range b.legs {
		may[l.place] = nil
	}
	for _, p := range r.held {
		if _, is := may[p.place]; is && !p.begin.Before(b.begin) && p.begin.Before(b.end.Add(lineTime)) {
			may[p.place] = append(may[p.place], p)
		}
	}
	several := func(l *leg) int {
		posts := may[l.place]
		if slices.ContainsFunc(posts, func(p *post) bool { return p.hash != posts[0].hash }) {
			return 1
		}
		return 0
	}
	legs := slices.Clone(b.legs)
	slices.SortStableFunc(legs, func(x, y *leg) int { return cmp.Compare(several(x), several(y)) })
	for _, l := range legs {
		for _, p := range of(l, may[l.place]) {
			mine = append(mine, p)
			if r.answered(l, p); l.done {
				break
			}
		}
	}
	r.held = slices.DeleteFunc(r.held, func(p *post) bool {
		is := slices.Contains(mine, p)
		if is {
			r.heldBytes -= len(p.payload)
		}
		return is
	})
}

// of returns those of the posts to the leg's target that are most likely its: a try and those
// after it have the same payload.
func of(l *leg, posts []*post) []*post {
	posts = slices.DeleteFunc(posts, func(p *post) bool { return !l.takes(p.kind) })
	for _, is := range []func(p *post) bool{
		func(p *post) bool { return l.event.isIn(p.payload) },
		func(p *post) bool { return l.of.has(p.hash) },
		func(*post) bool { return true },
	} {
		if i := slices.IndexFunc(posts, is); i >= 0 {
			hash := posts[i].hash
			return slices.DeleteFunc(posts, func(p *post) bool { return p.hash != hash })
		}
	}
	return nil
}

// isIn reports whether the payload has the event's id.
func (e *event) isIn(payload []byte) bool { return bytes.Contains(payload, []byte(`"`+e.id+`"`)) }
