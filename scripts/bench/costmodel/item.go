package costmodel

import (
	"subwire/scripts/internal/billing"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
)

// Units of DynamoDB, in bytes ("Read and write operations" in the DynamoDB Developer
// Guide): a write takes a unit per KB, a consistent read one per 4 KB of all the
// items that it meets.
const (
	writeUnit = 1 << 10
	readUnit  = 4 << 10
)

// number is the size of a stored number with that many digits, in bytes ("DynamoDB
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

// query is the usage of reading the topic's subscriptions, in ascending order of
// bucket, as package dynamo does: those after the first page in parts by bucket. A
// query that finds no row is charged a unit.
func query(subs []pubsub.Subscription) (t billing.Table) {
	if len(subs) < dynamo.TopicPage {
		return pages(subs)
	}
	t = page(subs[:dynamo.TopicPage])
	rest := subs[dynamo.TopicPage:]
	begin := pubsub.Bucket(subs[dynamo.TopicPage-1].ConnectionID)
	left := pubsub.Buckets - begin
	readers := min(left, dynamo.TopicReaders)
	for i := range readers {
		n := 0
		for n < len(rest) && pubsub.Bucket(rest[n].ConnectionID) < begin+left*(i+1)/readers {
			n++
		}
		part := pages(rest[:n])
		t.Requests, t.Reads, rest = t.Requests+part.Requests, t.Reads+part.Reads, rest[n:]
	}
	return t
}

// pages is the usage of reading rows to the end: a full page may not be the last.
func pages(subs []pubsub.Subscription) (t billing.Table) {
	for {
		n := min(dynamo.TopicPage, len(subs))
		one := page(subs[:n])
		t.Requests, t.Reads, subs = t.Requests+one.Requests, t.Reads+one.Reads, subs[n:]
		if n < dynamo.TopicPage {
			return t
		}
	}
}

func page(subs []pubsub.Subscription) billing.Table {
	size := 0
	for _, s := range subs {
		size += rowBytes(s)
	}
	return billing.Table{Requests: 1, Reads: billing.Units(size, readUnit)}
}
