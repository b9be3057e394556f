package costmodel

import (
	"subwire/scripts/internal/billing"
	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// Units of DynamoDB, in bytes ("Read and write operations" in the DynamoDB
// Developer Guide): a write takes a unit per KB, a consistent read one per 4 KB
// of all the items that it meets.
const (
	writeUnit = 1 << 10
	readUnit  = 4 << 10
	queryPage = 1 << 20
)

// number is how many bytes a stored number of so many digits takes ("DynamoDB
// item sizes and formats").
func number(digits int) int { return (digits+1)/2 + 1 }

// messageBytes is the size of a chat message's item: names and values.
func messageBytes(m chat.Message) int {
	return len("chatId"+"id"+"content"+"senderName"+"createdAt") +
		len(m.ChatID+m.ID+m.Content+m.SenderName) + number(len("1700000000000"))
}

// rowBytes is the size of a subscription's row.
func rowBytes(s pubsub.Subscription) int {
	return len("topic"+"subscriber"+"operationKey"+"ttl") +
		len(s.Topic) + len("00#"+s.ConnectionID+"#"+s.OperationID) + len(s.OperationKey) + number(len("1700000000"))
}

// query is the usage of reading the topic's subscriptions: page by page, each
// of 1 MB.
func query(subs []pubsub.Subscription) billing.Table {
	t := billing.Table{Requests: 1}
	page := 0
	for _, s := range subs {
		if size := rowBytes(s); page+size > queryPage {
			t.Reads += billing.Units(page, readUnit)
			t.Requests, page = t.Requests+1, size
		} else {
			page += size
		}
	}
	t.Reads += billing.Units(page, readUnit)
	return t
}
