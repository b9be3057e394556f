package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// chatServer is a DynamoDB with one endless chat. It notes what was read of it.
type chatServer struct {
	content     string
	cost, pages int // bytes in units, and how many queries
}

func (c *chatServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Limit int }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		panic(err)
	}
	attribute := func(v string) map[string]string { return map[string]string{"S": v} }
	var items []any
	read := 1
	for i := range in.Limit {
		m := chat.Message{ChatID: "1", ID: fmt.Sprintf("01%024d", i), Content: c.content, SenderName: "Eve"}
		read += m.StoredBytes()
		items = append(items, map[string]any{"chatId": attribute(m.ChatID), "id": attribute(m.ID),
			"content": attribute(m.Content), "senderName": attribute(m.SenderName)})
	}
	c.pages++
	c.cost += (read + 4095) / 4096 * 4096
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(map[string]any{"Items": items, "LastEvaluatedKey": map[string]any{"chatId": attribute("1"), "id": attribute("2")}})
}

// The budget counts what reads cost, in units. In the end, what is left of it is not
// enough for the longest message.
func TestAReadNeverTakesMoreThanItsBudget(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	for name, content := range map[string]string{"Long": strings.Repeat("x", chat.MaxContentBytes), "Short": "x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &chatServer{content: content}
			server := httptest.NewServer(c)
			defer server.Close()
			s := New(newClient(server.URL), Tables{Messages: "m"})
			ctx := pubsub.WithBudget(t.Context(), budget)
			if found, err := s.Messages(ctx, "1", "", "", chat.MaxMessages); len(found) != chat.MaxMessages || err != nil || c.pages != 1 {
				t.Errorf("the first read has %d messages in %d pages, %v", len(found), c.pages, err)
			}
			err := error(nil)
			for err == nil {
				_, err = s.Messages(ctx, "1", "", "", chat.MaxMessages)
			}
			if !errors.Is(err, pubsub.ErrBudget) || c.cost > budget || c.cost <= budget-chat.MaxStoredBytes {
				t.Errorf("%d bytes of %d were read, %v", c.cost, budget, err)
			}
		})
	}
}
