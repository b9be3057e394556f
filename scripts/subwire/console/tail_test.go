package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// fakeLogs answers as "FilterLogEvents" says: lines of a group from a time on, in order of
// time, in pages, some of which are empty although more follow.
type fakeLogs struct {
	mu    sync.Mutex
	page  int // lines of each
	lines map[string][]types.FilteredLogEvent
	errs  map[string]error
	asked int
}

func (f *fakeLogs) add(group string, at time.Time, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("%s %d", group, len(f.lines[group]))
	f.lines[group] = append(f.lines[group], types.FilteredLogEvent{EventId: &id, Timestamp: aws.Int64(at.UnixMilli()), Message: &text})
}

// fail makes requests for the group fail, or no longer.
func (f *fakeLogs) fail(group string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs[group] = err
}

func (f *fakeLogs) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if err := f.errs[*in.LogGroupName]; err != nil {
		return nil, err
	}
	var from []types.FilteredLogEvent
	for _, l := range f.lines[*in.LogGroupName] {
		if *l.Timestamp >= *in.StartTime {
			from = append(from, l)
		}
	}
	slices.SortStableFunc(from, func(a, b types.FilteredLogEvent) int { return int(*a.Timestamp - *b.Timestamp) })
	at, empty := 0, false
	if in.NextToken != nil {
		if _, err := fmt.Sscanf(*in.NextToken, "%d %t", &at, &empty); err != nil {
			return nil, &types.InvalidParameterException{}
		}
	}
	if empty {
		return &cloudwatchlogs.FilterLogEventsOutput{NextToken: aws.String(fmt.Sprintf("%d false", at))}, nil
	}
	end := min(len(from), at+f.page)
	out := &cloudwatchlogs.FilterLogEventsOutput{Events: from[at:end]}
	if end < len(from) {
		out.NextToken = aws.String(fmt.Sprintf("%d true", end))
	}
	return out, nil
}

const streamLog, senderLog = "/aws/lambda/subwire-dev-stream", "/aws/lambda/subwire-dev-sender"

func newLogs() *fakeLogs {
	return &fakeLogs{page: 2, lines: map[string][]types.FilteredLogEvent{}, errs: map[string]error{}}
}

func texts(lines []line) (all []string) {
	for _, l := range lines {
		all = append(all, l.text)
	}
	return all
}

func TestEachLineIsReadOnceInOrderOfTime(t *testing.T) {
	t.Parallel()
	f := newLogs()
	for i, name := range []string{"a", "c", "e"} {
		f.add(streamLog, noon.Add(time.Duration(2*i)*time.Second), name)
	}
	f.add(senderLog, noon.Add(time.Second), "b")
	f.add(senderLog, noon.Add(-time.Hour), "before")
	tail := newTail(f, chattest.Product, "subwire-dev", noon)
	got, err := tail.look(t.Context(), noon.Add(5*time.Second))
	if want := []string{"a", "b", "c", "e"}; err != nil || !slices.Equal(texts(got), want) {
		t.Fatalf("got %v, %v; want %v", texts(got), err, want)
	}
	f.add(senderLog, noon.Add(3*time.Second), "found late")
	got, err = tail.look(t.Context(), noon.Add(50*time.Second))
	if want := []string{"found late"}; err != nil || !slices.Equal(texts(got), want) {
		t.Fatalf("then got %v, %v; want %v", texts(got), err, want)
	}
	if got, err = tail.look(t.Context(), noon.Add(time.Hour)); err != nil || len(got) > 0 {
		t.Errorf("at last got %v, %v", got, err)
	}
	for _, f := range tail.all {
		if len(f.seen) > 0 || !f.from.Equal(noon.Add(time.Hour-late)) {
			t.Errorf("%s remembers %d lines from %v", f.group, len(f.seen), f.from)
		}
	}
}

// A log with more lines than a look reads is read on by the next ones; one that is far behind
// goes on at the present, and says so.
func TestALongLog(t *testing.T) {
	t.Parallel()
	f := newLogs()
	const n = 20
	for i := range n {
		f.add(streamLog, noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i))
	}
	tail := newTail(f, chattest.Product, "subwire-dev", noon)
	var got []string
	for range 10 {
		before := f.asked
		found, err := tail.look(t.Context(), noon.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if asked := f.asked - before; asked > mostPages*len(tail.all) {
			t.Fatalf("a look asked %d times", asked)
		}
		got = append(got, texts(found)...)
	}
	if len(got) != n || got[n-1] != fmt.Sprint(n-1) {
		t.Errorf("read %v", got)
	}
	now := noon.Add(time.Hour)
	tail = newTail(f, chattest.Product, "subwire-dev", noon)
	if _, err := tail.look(t.Context(), now); !errors.Is(err, errBehind) {
		t.Errorf("error is %v", err)
	}
	f.add(streamLog, now, "new")
	if found, err := tail.look(t.Context(), now); err != nil || !slices.Equal(texts(found), []string{"new"}) {
		t.Errorf("then got %v, %v", texts(found), err)
	}
}

var throttled = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}

// An error of one log leaves the others, and nothing is lost by it.
func TestALogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newLogs()
	for i := range 6 {
		f.add(streamLog, noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i))
	}
	f.add(senderLog, noon, "other")
	f.errs["/aws/lambda/subwire-dev-graphql"] = &types.ResourceNotFoundException{}
	f.errs[streamLog] = throttled
	tail := newTail(f, chattest.Product, "subwire-dev", noon)
	got, err := tail.look(t.Context(), noon)
	if !isThrottled(err) || !strings.Contains(err.Error(), streamLog) || strings.Contains(err.Error(), "graphql") || !slices.Equal(texts(got), []string{"other"}) {
		t.Fatalf("got %v, %v", texts(got), err)
	}
	delete(f.errs, streamLog)
	for _, follower := range tail.all {
		if follower.group == streamLog {
			follower.more = aws.String("expired")
		}
	}
	if _, err = tail.look(t.Context(), noon); err == nil {
		t.Error("an expired token is no error")
	}
	var then []string
	for range 2 { // of mostPages pages, every other of which is empty
		if got, err = tail.look(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		then = append(then, texts(got)...)
	}
	if want := []string{"0", "1", "2", "3", "4", "5"}; !slices.Equal(then, want) {
		t.Errorf("then got %v", then)
	}
}

// The pattern asks for the lines that the recorder reads, by the messages that functions log.
func TestThePattern(t *testing.T) {
	t.Parallel()
	const want = `{ $.msg = "row written" || $.msg = "event announced" || $.msg = "event sent" || ` +
		`$.msg = "batch delivered" || $.msg = "event delivered" }`
	if pattern != want {
		t.Errorf("pattern is %s", pattern)
	}
	for _, f := range newTail(nil, chattest.Product, "s", noon).all {
		if strings.HasSuffix(f.group, "-"+topology.Connect.Name) {
			t.Errorf("follows %s", f.group)
		}
	}
}
