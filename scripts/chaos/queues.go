package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/deployment"
	"subwire/shared/topology"
)

// count returns how many messages of a queue wait or are being handled, and how many
// are delayed.
func (h *Harness) count(ctx context.Context, q topology.Queue) (n, delayed int, err error) {
	d, err := deployment.DepthOf(ctx, h.sqs, h.cloud.Queues[q.Name])
	if err != nil {
		return 0, 0, fmt.Errorf("count %s: %w", q.Name, err)
	}
	return d.Visible + d.InFlight, d.Delayed, nil
}

func deadQueues() []topology.Queue {
	return []topology.Queue{topology.FanoutDead, topology.RetriesDead, topology.StreamDead}
}

// DeadLetters returns how many messages all dead-letter queues hold.
func (h *Harness) DeadLetters(ctx context.Context) (int, error) {
	n, _, err := h.total(ctx, deadQueues()...)
	return n, err
}

// waiting returns how many messages are on their way to the sender, and how many come
// later: the last retries are delayed by minutes.
func (h *Harness) waiting(ctx context.Context) (now, later int, err error) {
	return h.total(ctx, topology.Fanout, topology.Retries)
}

func (h *Harness) total(ctx context.Context, queues ...topology.Queue) (n, delayed int, err error) {
	for _, q := range queues {
		k, d, err := h.count(ctx, q)
		if err != nil {
			return 0, 0, err
		}
		n, delayed = n+k, delayed+d
	}
	return n, delayed, nil
}

// Redrive sends the dead letters again with the subwire tool at the path. First it
// notes what is missing as parked. It returns how many dead letters there were.
func (h *Harness) Redrive(ctx context.Context, subwire string) (int, error) {
	n, err := h.DeadLetters(ctx)
	if err != nil || n == 0 {
		return 0, err
	}
	run, err := h.Run(ctx)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	maps.Copy(h.parked, run.Missing())
	h.mu.Unlock()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		return 0, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(folder)
	forget, err := h.cloud.Announce(folder)
	if err != nil {
		return 0, err
	}
	defer forget()
	for _, q := range deadQueues() {
		cmd := exec.CommandContext(ctx, subwire, "dead", "send", q.Name, "--local", "--yes")
		cmd.Dir = folder
		// What it could not see yet, another run sends; the checker misses what none does.
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "may remain") {
			return 0, fmt.Errorf("redrive %s: %w\n%s", q.Name, err, out)
		}
	}
	return n, nil
}

// SetVisibility changes how long a received message is hidden from other receivers.
// An answer lost in an outage hides its messages that long.
func (h *Harness) SetVisibility(ctx context.Context, d time.Duration) error {
	for _, q := range []topology.Queue{topology.Fanout, topology.Retries, topology.ConnectionChecks} {
		url := h.cloud.Queues[q.Name]
		_, err := h.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{
			string(types.QueueAttributeNameVisibilityTimeout): strconv.Itoa(int(d / time.Second))}})
		if err != nil {
			return fmt.Errorf("set visibility of %s: %w", q.Name, err)
		}
	}
	return nil
}
