package meter

import (
	"encoding/json"
	"path"
	"strings"

	"subwire/scripts/internal/billing"
)

// message is the billed part of a message, in a request or an answer.
type message struct {
	MessageBody string // to be sent
	Body        string // received

	MessageAttributes map[string]struct{ DataType, StringValue string }
}

func (m message) size() int {
	n := len(m.MessageBody) + len(m.Body)
	for name, a := range m.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.StringValue)
	}
	return n
}

func size(messages []message) (n int) {
	for _, m := range messages {
		n += m.size()
	}
	return n
}

// sqs counts one request. What SQS refuses costs nothing.
func (m *Meter) sqs(e exchange) {
	var request struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []message
		message
	}
	var answer struct{ Messages []message }
	if e.status != 200 || json.Unmarshal(e.request, &request) != nil || json.Unmarshal(e.answer, &answer) != nil {
		return
	}
	name := strings.TrimPrefix(path.Base(request.QueueURL), m.prefix)
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.usage.Queues[name]
	q.FIFO = strings.HasSuffix(name, ".fifo")
	switch {
	case strings.HasPrefix(e.operation, "SendMessage"):
		q.Sends += billing.Units(size(append(request.Entries, request.message)), billing.QueueUnit)
	case e.operation == "ReceiveMessage" && len(answer.Messages) == 0:
		q.Empty++
	case e.operation == "ReceiveMessage":
		q.Receives += billing.Units(size(answer.Messages), billing.QueueUnit)
	default:
		q.Deletes++
	}
	m.usage.Queues[name] = q
}
