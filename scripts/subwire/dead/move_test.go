package dead

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

func task(status string, moved, of int64) types.ListMessageMoveTasksResultEntry {
	return types.ListMessageMoveTasksResultEntry{Status: &status, ApproximateNumberOfMessagesMoved: moved,
		ApproximateNumberOfMessagesToMove: aws.Int64(of), FailureReason: aws.String("why")}
}

func TestMoveAll(t *testing.T) {
	t.Parallel()
	start := func(name string) string { return "start arn:" + name + "-dead arn:" + name }
	for name, tt := range map[string]struct {
		local, dry, empty bool
		tasks             []types.ListMessageMoveTasksResultEntry
		broken            string // an operation that fails
		started           []string
		says              string
		err               error
	}{
		"NothingIsThere": {empty: true},
		"DryRun":         {dry: true, says: "would move 1 messages from retries-dead to retries\n"},
		"OnAStack": {tasks: []types.ListMessageMoveTasksResultEntry{task("RUNNING", 0, 1), task("COMPLETED", 1, 0), task("COMPLETED", 1, 0)},
			err: errRemain, started: []string{"start arn:fanout-dead.fifo arn:fanout.fifo", start("retries")},
			says: "retries-dead: moving to retries, task t1\nretries-dead: 1 messages moved\nstream-dead: 1 messages with stream records, which no queue takes as they are; use send stream-dead\n"},
		"OnTheLocalCloud": {local: true, tasks: []types.ListMessageMoveTasksResultEntry{task("COMPLETED", 1, 0)},
			err: errRemain, started: []string{start("retries")},
			says: "fanout-dead.fifo: 1 messages; the local cloud cannot move a FIFO queue, use send fanout-dead.fifo\n"},
		"OneTaskFails": {tasks: []types.ListMessageMoveTasksResultEntry{task("FAILED", 3, 9), task("COMPLETED", 1, 0)},
			started: []string{"start arn:fanout-dead.fifo arn:fanout.fifo", start("retries")}, err: errTask, says: "retries-dead: 1 messages moved"},
		"NoTaskIsListed":    {local: true, started: []string{start("retries")}, err: errTask},
		"AllTasksAreTaken":  {local: true, broken: start("retries"), started: []string{start("retries")}, err: errBroken},
		"TasksAreNotListed": {local: true, broken: "tasks", started: []string{start("retries")}, err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				if !tt.empty {
					for _, q := range deadQueues() {
						f.put(q.name, held{body: "x"})
					}
				}
				f.tasks = tt.tasks
				f.fault = func(o string, _ int) (bool, error) {
					if o == tt.broken {
						return false, errBroken
					}
					return true, nil
				}
				tool, out := newTestTool(f, connected())
				tool.local = tt.local
				if err := tool.send(t.Context(), options{all: true, yes: !tt.dry}); !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				var started []string
				for _, q := range deadQueues() {
					if o := "start arn:" + q.name + " arn:" + q.source; f.calls[o] > 0 {
						started = append(started, o)
					}
				}
				if diff := cmp.Diff(tt.started, started); diff != "" {
					t.Errorf("tasks started (-want +got):\n%s", diff)
				}
				if !strings.Contains(out.String(), tt.says) {
					t.Errorf("it says %s", out)
				}
			})
		})
	}
}

func TestATaskGoesOnAfterCtrlC(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.put(retries, held{body: "x"})
	f.tasks = []types.ListMessageMoveTasksResultEntry{task("RUNNING", 0, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tool, out := newTestTool(f, connected())
	if err := tool.send(ctx, options{all: true, yes: true}); !errors.Is(err, errRemain) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(out.String(), "the task goes on without us") {
		t.Errorf("it says %s", out)
	}
}

func TestPerSecond(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: 0, 0.5: 1, 20: 20, 9000: 500} {
		if got := perSecond(rate); got != want {
			t.Errorf("%g: got %d, want %d", rate, got, want)
		}
	}
}
