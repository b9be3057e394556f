package wsclient

import (
	"context"
	"fmt"
)

// A client makes the item of its connection large with BeginLong and then
// CompleteLong. Neither waits for answers.

// longID is an id as long as it may be by default.
func longID(kind string, i int) string { return fmt.Sprintf("%s%0*d", kind, 128-len(kind), i) }

// BeginLong begins n operations with long ids, ten of each chat. It returns the ids of
// the chats, which are as long and begin with name.
func (r *Raw) BeginLong(ctx context.Context, name string, n int) (chats []string, err error) {
	const perChat = 10
	for i := range n {
		if i%perChat == 0 {
			chats = append(chats, longID(name, i))
		}
		frame := fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":`+
			`"subscription { newMessage(chatId: \"%s\") { content } }"}}`, longID("s", i), chats[i/perChat])
		if err := r.Send(ctx, frame); err != nil {
			return nil, err
		}
	}
	return chats, nil
}

// CompleteLong completes n operations with long ids that never began: those from the
// first on.
func (r *Raw) CompleteLong(ctx context.Context, first, n int) error {
	for i := first; i < first+n; i++ {
		if err := r.Send(ctx, fmt.Sprintf(`{"id":%q,"type":"complete"}`, longID("c", i))); err != nil {
			return err
		}
	}
	return nil
}
