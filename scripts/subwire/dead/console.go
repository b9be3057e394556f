package dead

import (
	"context"
	"io"
	"time"

	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
)

// mostLetters is how many dead letters the console shows.
const mostLetters = 100

// Letters lists dead letters of a queue, for the console.
func Letters(ctx context.Context, d deployment.Deployment, queue string) (all []console.Letter, err error) {
	t, q, n, err := open(ctx, d, queue)
	if err != nil {
		return nil, err
	}
	err = t.walk(q, n, 0).each(ctx, func(l letter) (verdict, error) {
		if len(all) == mostLetters {
			return stays, errEnough
		}
		line := newLine(l, time.Now())
		all = append(all, console.Letter{ID: line.MessageID, Event: line.EventID, Topic: line.Topic, Targets: line.Targets,
			Reason: line.Reason, Tries: max(line.Attempts, line.Receives), At: line.Sent})
		return stays, nil
	})
	return all, err
}

// Redrive sends the dead letters of a queue again, as subwire dead send --yes does.
func Redrive(ctx context.Context, d deployment.Deployment, queue string) (sent int, err error) {
	t, q, n, err := open(ctx, d, queue)
	if err != nil {
		return 0, err
	}
	s := &sending{client: t.queues, urls: t.urls, packer: t.packer, really: true, out: io.Discard, done: func() {}}
	err = t.walk(q, n, 0).each(ctx, func(l letter) (verdict, error) { return s.visit(ctx, l) })
	if err == nil && s.tally.kept > 0 {
		err = console.Refused(plain.Plural(s.tally.kept, "letter") + " cannot be sent; subwire dead show says why")
	}
	return s.tally.sent, err
}

// open finds a queue of dead letters and counts what it has.
func open(ctx context.Context, d deployment.Deployment, queue string) (*tool, deadQueue, int, error) {
	t, err := newTool(d, io.Discard, io.Discard)
	if err != nil {
		return nil, deadQueue{}, 0, err
	}
	if queue == "" {
		return nil, deadQueue{}, 0, console.NotFound("say which queue")
	}
	queues, err := t.find(queue)
	if err != nil {
		return nil, deadQueue{}, 0, console.NotFound(err.Error())
	}
	n, err := count(ctx, t.queues, queues[0], t.urls[queue])
	return t, queues[0], n, err
}
