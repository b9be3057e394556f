package memory

import (
	"cmp"
	"context"
	"slices"

	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// PutMessage implements chat.Store. A message that is already there stays as it is.
func (s *Store) PutMessage(ctx context.Context, m chat.Message) error {
	return s.do(ctx, "PutMessage", func() error {
		messages := s.messages[m.ChatID]
		i, found := slices.BinarySearchFunc(messages, m.ID, compareID)
		if !found {
			s.messages[m.ChatID] = slices.Insert(messages, i, m)
		}
		return nil
	})
}

// compareID orders a message against an id, for binary search.
func compareID(m chat.Message, id string) int { return cmp.Compare(m.ID, id) }

// Messages implements chat.Store.
func (s *Store) Messages(ctx context.Context, chatID, after, before string, limit int) (found []chat.Message, err error) {
	err = s.do(ctx, "Messages", func() error {
		messages := s.messages[chatID]
		if before != "" {
			i, _ := slices.BinarySearchFunc(messages, before, compareID)
			messages = messages[:i]
		}
		if after == "" {
			found = slices.Clone(messages[max(0, len(messages)-limit):])
			return nil
		}
		i, has := slices.BinarySearchFunc(messages, after, compareID)
		if has {
			i++
		}
		found = slices.Clone(messages[i:min(i+limit, len(messages))])
		return nil
	})
	bytes := 0
	for _, m := range found {
		bytes += m.StoredBytes()
	}
	if err == nil {
		_, err = pubsub.BudgetOf(ctx).Reserve(bytes, bytes)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}
