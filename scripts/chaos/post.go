package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// postTimeout bounds one post; the gateway answers within 30 s.
const postTimeout = 40 * time.Second

const mutation = `mutation ($chatId: ID!, $content: String!) { postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`

// errRefused is a post that was answered, but not with success.
var errRefused = errors.New("post refused")

// Post writes one message to the chat over HTTP and returns an error unless it was
// answered with success. Even then the message may be stored.
func (h *Harness) Post(ctx context.Context, chatID string) error {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	h.mu.Lock()
	content := fmt.Sprintf("%s/%d", chatID, len(h.posts))
	h.posts[content] = attempt{begin: time.Now()}
	h.mu.Unlock()
	if err := h.post(ctx, chatID, content); err != nil {
		return fmt.Errorf("post %s: %w", content, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts[content] = attempt{h.posts[content].begin, true}
	h.moved()
	return nil
}

func (h *Harness) post(ctx context.Context, chatID, content string) error {
	body, err := json.Marshal(map[string]any{"query": mutation, "variables": map[string]string{"chatId": chatID, "content": content}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cloud.HTTPURL, strings.NewReader(string(body)))
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
		Data   struct{ PostMessage struct{ ID string } }
		Errors json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%w: %d: %w", errRefused, resp.StatusCode, err)
	}
	if answer.Data.PostMessage.ID == "" {
		return fmt.Errorf("%w: %d %s", errRefused, resp.StatusCode, answer.Errors)
	}
	return nil
}

// PostMany posts n messages to the chat, one after the other. It replaces each failed
// post with another, after a pause, and returns how many failed.
func (h *Harness) PostMany(ctx context.Context, chatID string, n int) (failed int, err error) {
	for done := 0; done < n; {
		err := h.Post(ctx, chatID)
		if err == nil {
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
