package dead

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/plain"
	"subwire/shared/queue"
)

// sender is the part of *sqs.Client that moves messages.
type sender interface {
	queue.Client
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
}

// sending is one run of the send command over one dead-letter queue.
type sending struct {
	client sender
	urls   map[string]string // of the queues, by logical name
	packer packer
	max    int           // most letters to send; 0 for all
	pause  time.Duration // from one letter to the next
	really bool          // else it only says what it would do
	out    io.Writer     // gets the lines about letters
	done   func()        // called after each requested letter

	last  time.Time // when the last letter was sent
	tally tally
}

type tally struct {
	sent     int
	obsolete int  // deleted, as nobody who could get them is connected
	kept     int  // cannot be sent
	more     bool // some letters were not looked at
	unseen   int  // may remain: SQS counted them, but did not show them
}

// handled is how many letters count for -max.
func (t tally) handled() int { return t.sent + t.obsolete }

// sendTime bounds the work on one letter once it has begun. It also bounds how long a
// first Ctrl-C may take.
const sendTime = time.Minute

// visit sends one letter again. It is a visit of walk.each.
func (s *sending) visit(ctx context.Context, l letter) (verdict, error) {
	if !l.about(s.packer.topic) {
		return stays, nil
	}
	if s.max > 0 && s.tally.handled() == s.max {
		s.tally.more = true
		return stays, errEnough
	}
	defer s.done()
	if l.err != nil {
		return s.keep(l, l.err.Error()), nil
	}
	if !s.wait(ctx) {
		return stays, ctx.Err()
	}
	// From here on Ctrl-C waits: it must not come between a copy and a delete.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	p, err := s.packer.pack(ctx, l)
	if err != nil {
		return stays, fmt.Errorf("%s, %s: %w", l.queue.name, l.what(), err)
	}
	if s.really {
		err := s.send(ctx, l, p)
		if errors.Is(err, queue.ErrInvalidMessage) {
			return s.keep(l, err.Error()), nil
		}
		if err != nil {
			return stays, fmt.Errorf("%s, %s: %w", l.queue.name, l.what(), err)
		}
	}
	return s.count(l, p), nil
}

// wait keeps the rate. It returns false if ctx ended.
func (s *sending) wait(ctx context.Context) bool {
	if s.pause > 0 && s.really && !s.last.IsZero() && !pause(ctx, time.Until(s.last.Add(s.pause))) {
		return false
	}
	s.last = time.Now()
	return ctx.Err() == nil
}

// send sends the parcel, and deletes the letter once all of it was accepted.
func (s *sending) send(ctx context.Context, l letter, p parcel) error {
	to := queue.New(s.client, s.urls[p.to])
	for _, messages := range p.events {
		if err := to.Send(ctx, queueOf(messages)); err != nil {
			return fmt.Errorf("send to %s: %w", p.to, err)
		}
	}
	if p.stays != "" {
		return nil
	}
	url := s.urls[l.queue.name]
	if _, err := s.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &l.receipt}); err != nil {
		return fmt.Errorf("delete it after its copy was sent, so that it may be sent twice: %w", err)
	}
	return nil
}

// queueOf yields the messages in the form of queue.Publisher.
func queueOf(messages []queue.Message) func(func(queue.Message, error) bool) {
	return func(yield func(queue.Message, error) bool) {
		for m := range slices.Values(messages) {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// count notes what was done, or would be, and returns what happens to the letter.
func (s *sending) count(l letter, p parcel) verdict {
	s.tell(l, p)
	switch {
	case p.stays != "":
		return s.keep(l, p.stays)
	case p.targets == 0:
		s.tally.obsolete++
	default:
		s.tally.sent++
	}
	if s.really {
		return gone
	}
	return stays
}

// tell prints, in a dry run, what would be done.
func (s *sending) tell(l letter, p parcel) {
	if s.really {
		return
	}
	line := fmt.Sprintf("would send %s, %s to %s (%s)", l.queue.name, l.what(), p.to, p.note)
	if p.targets == 0 && p.stays == "" {
		line = fmt.Sprintf("would delete %s, %s (%s)", l.queue.name, l.what(), p.note)
	}
	fmt.Fprintln(s.out, line)
}

func (s *sending) keep(l letter, why string) verdict {
	s.tally.kept++
	fmt.Fprintf(s.out, "stays in %s, %s: %s\n", l.queue.name, l.what(), plain.Text(why))
	return stays
}
