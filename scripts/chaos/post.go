package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"subwire/scripts/internal/wsclient"
)

// postTimeout bounds one post; the gateway answers within 30 s.
const postTimeout = 40 * time.Second

// errRefused is a post that was answered, but not with success.
var errRefused = errors.New("post refused")

// errOver is a post that was refused because its subject is over.
var errOver = errors.New("it is over")

// Post makes one event of the subject over HTTP and returns an error unless it was
// answered with success. Even then the event may be stored.
func (h *Harness) Post(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	h.mu.Lock()
	mark := fmt.Sprintf("%s/%d", subject, len(h.posts))
	h.posts[mark] = attempt{begin: time.Now()}
	h.mu.Unlock()
	if err := h.mutate(ctx, h.product.post(subject, mark)); err != nil {
		return fmt.Errorf("post %s: %w", mark, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts[mark] = attempt{h.posts[mark].begin, true}
	h.moved()
	return nil
}

func (h *Harness) mutate(ctx context.Context, op wsclient.Operation) error {
	body, err := json.Marshal(op)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cloud.HTTPURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Data   map[string]any
		Errors json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%w: %d: %w", errRefused, resp.StatusCode, err)
	}
	switch {
	case bytes.Contains(answer.Errors, []byte("The order is over.")):
		return errOver
	case answer.Data == nil || answer.Errors != nil:
		return fmt.Errorf("%w: %d %s", errRefused, resp.StatusCode, answer.Errors)
	}
	return nil
}

// PostMany posts n events of the subject, one after the other. It replaces each failed
// post with another, after a pause, and returns how many failed.
func (h *Harness) PostMany(ctx context.Context, subject string, n int) (failed int, err error) {
	for done := 0; done < n; {
		err := h.Post(ctx, subject)
		if err == nil || errors.Is(err, errOver) { // an earlier one was stored
			done++
			continue
		}
		failed++
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
			return failed, err
		}
	}
	return failed, nil
}

// Unstored returns how many posts were answered with success but are not stored.
func (h *Harness) Unstored(r Run) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.posts {
		if a.answered {
			n++
		}
	}
	for _, e := range r.Events {
		if e.Answered {
			n--
		}
	}
	return n
}
