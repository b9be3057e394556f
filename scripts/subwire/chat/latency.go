package chat

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measure posts n messages, each after the previous one has arrived. It prints how
// long they took from the start of the mutation to the arrival of next.
func (s server) measure(ctx context.Context, n int, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chat := "latency-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	events, closeSocket, err := s.subscribe(ctx, map[string]string{"chatId": chat})
	if err != nil {
		return err
	}
	defer closeSocket()
	arrived := make(chan string)
	go func() {
		defer close(arrived)
		for {
			result, err := events.Next(ctx)
			if err != nil {
				return
			}
			select {
			case arrived <- string(result):
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := s.warmUp(ctx, chat, arrived); err != nil {
		return err
	}
	var took []time.Duration
	for i := range n {
		text := fmt.Sprintf("message %d.", i)
		start := time.Now()
		if err := s.post(ctx, chat, text, "chat", io.Discard); err != nil {
			return err
		}
		for result := range arrived {
			if strings.Contains(result, text) { // not a late one of the warm-up
				took = append(took, time.Since(start))
				break
			}
		}
	}
	if len(took) < n {
		return fmt.Errorf("the subscription ended after %d messages", len(took))
	}
	slices.Sort(took)
	_, err = fmt.Fprintf(out, "%d messages, mutation to next: p50 %s, p99 %s, max %s\n",
		n, percentile(took, 50), percentile(took, 99), percentile(took, 100))
	return err
}

// warmUp posts until a message arrives: as a subscribe is not acknowledged, only that
// shows that it was stored. It also starts the functions.
func (s server) warmUp(ctx context.Context, chat string, arrived <-chan string) error {
	for {
		if err := s.post(ctx, chat, "warm-up", "chat", io.Discard); err != nil {
			return err
		}
		select {
		case <-arrived:
			return nil
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// percentile of sorted values, by nearest rank.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1].Round(100 * time.Microsecond)
}
