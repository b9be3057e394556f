package wsclient

import (
	"context"
	"fmt"
)

// Enlarge makes the item of an acknowledged connection large: it begins that many
// operations, ten of each chat, and then completes that many that never began. All ids
// are as long as they may be by default; those of the chats begin with name. It waits
// for no answer.
func (r *Raw) Enlarge(ctx context.Context, name string, operations, completes int) (chats []string, err error) {
	const perChat, longest = 10, 128
	id := func(kind string, i int) string { return fmt.Sprintf("%s%0*d", kind, longest-len(kind), i) }
	for i := range operations {
		if i%perChat == 0 {
			chats = append(chats, id(name, i))
		}
		frame := fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":`+
			`"subscription { newMessage(chatId: \"%s\") { content } }"}}`, id("s", i), chats[i/perChat])
		if err := r.Send(ctx, frame); err != nil {
			return nil, err
		}
	}
	for i := range completes {
		if err := r.Send(ctx, fmt.Sprintf(`{"id":%q,"type":"complete"}`, id("c", i))); err != nil {
			return nil, err
		}
	}
	return chats, nil
}
