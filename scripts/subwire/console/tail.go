package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"subwire/scripts/internal/story"
	"subwire/shared/topology"
)

// logs is the part of *cloudwatchlogs.Client that is used. FilterLogEvents has no price
// ("Amazon CloudWatch pricing"); a Live Tail costs a cent a minute and leaves out what is
// more than 500 lines a second ("StartLiveTail").
type logs interface {
	FilterLogEvents(context.Context, *cloudwatchlogs.FilterLogEventsInput, ...func(*cloudwatchlogs.Options)) (
		*cloudwatchlogs.FilterLogEventsOutput, error)
}

const (
	lookBack = 5 * time.Minute // that the first look goes back

	// late is how long after its time a line may be found. No page says; a minute is a guess.
	late = time.Minute

	// mostPages bounds a look at one log; a page has 1 MB or 10,000 lines at most
	// ("FilterLogEvents"). The next look goes on. What is further behind than farBehind is
	// left out.
	mostPages = 4
	farBehind = 2 * time.Minute
)

// pattern chooses the lines that tell of events ("Filter pattern syntax for metric filters").
var pattern = "{ $.msg = \"" + strings.Join(story.Told, "\" || $.msg = \"") + "\" }"

// tail follows the logs of a stack's functions.
type tail struct {
	client logs
	all    []*follower
}

// follower follows one log.
type follower struct {
	group string
	from  time.Time
	more  *string              // token of the page that the next look begins with
	seen  map[string]time.Time // lines by id, as looks overlap
}

// newTail follows the functions that write such lines.
func newTail(client logs, app topology.Product, stack string, now time.Time) *tail {
	t := &tail{client: client}
	for _, f := range app.Functions() {
		switch f.Name {
		case topology.Connect.Name, topology.Disconnect.Name, topology.Canary.Name:
			continue
		}
		t.all = append(t.all, &follower{group: "/aws/lambda/" + stack + "-" + f.Name, from: now.Add(-lookBack),
			seen: map[string]time.Time{}})
	}
	return t
}

// line is one of a log.
type line struct {
	at   int64 // ms
	text string
}

// look returns the lines that are new, in order of time as far as they are found so. An error
// of one log does not keep the others from being looked at.
func (t *tail) look(ctx context.Context, now time.Time) ([]line, error) {
	var all []line
	var errs []error
	for _, f := range t.all {
		found, err := f.look(ctx, t.client, now)
		all = append(all, found...)
		errs = append(errs, err)
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	return all, errors.Join(errs...)
}

// errBehind says that lines were left out.
var errBehind = errors.New("the log has more lines than can be read: some were left out")

func (f *follower) look(ctx context.Context, client logs, now time.Time) (found []line, err error) {
	newest := f.from
	for range mostPages {
		out, err := client.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &f.group,
			StartTime: aws.Int64(f.from.UnixMilli()), FilterPattern: &pattern, NextToken: f.more})
		if isMissing(err) { // the function has not run yet
			return found, nil
		}
		if err != nil {
			f.more = nil // it may be the token that is wrong
			return found, fmt.Errorf("%s: %w", f.group, err)
		}
		for _, e := range out.Events {
			at := time.UnixMilli(aws.ToInt64(e.Timestamp))
			if at.After(newest) {
				newest = at
			}
			if id := aws.ToString(e.EventId); f.seen[id].IsZero() {
				f.seen[id] = at
				found = append(found, line{at.UnixMilli(), aws.ToString(e.Message)})
			}
		}
		if f.more = out.NextToken; f.more == nil {
			f.forward(now.Add(-late))
			return found, nil
		}
	}
	if now.Sub(newest) > farBehind && len(found) > 0 {
		f.more = nil
		f.forward(now.Add(-late))
		return found, fmt.Errorf("%s: %w", f.group, errBehind)
	}
	return found, nil
}

// forward makes the next look begin at a time, unless that is earlier than the last.
func (f *follower) forward(to time.Time) {
	if to.After(f.from) {
		f.from = to
	}
	for id, at := range f.seen {
		if at.Before(f.from) {
			delete(f.seen, id)
		}
	}
}

func isMissing(err error) bool {
	_, missing := errors.AsType[*types.ResourceNotFoundException](err)
	return missing
}

// isThrottled reports whether AWS refuses as it is asked too often, by its different names.
func isThrottled(err error) bool {
	refused, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains([]string{"ThrottlingException", "Throttling", "LimitExceededException",
		"RequestThrottled", "TooManyRequestsException"}, refused.ErrorCode())
}
