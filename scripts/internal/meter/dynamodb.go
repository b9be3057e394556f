package meter

import (
	"bytes"
	"encoding/json"
	"strings"

	"subwire/scripts/internal/awsproxy"
)

// dynamoDB counts one call. A call refused by its condition is charged as a write of
// the item. It is counted as the minimum: one unit, and two for each item of a
// transaction ("Read and write operations" in the DynamoDB Developer Guide). Other
// errors cost nothing.
func (m *Meter) dynamoDB(e exchange) {
	used := consumed(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range used {
		name := strings.TrimPrefix(c.TableName, m.prefix) + "." + e.operation
		t := m.usage.Tables[name]
		t.Requests++
		if isRead(e.operation) {
			t.Reads += c.CapacityUnits
		} else {
			t.Writes += c.CapacityUnits
		}
		m.usage.Tables[name] = t
	}
}

func isRead(operation string) bool {
	return strings.Contains(operation, "Get") || operation == "Query" || operation == "Scan"
}

func consumed(e exchange) []awsproxy.Capacity {
	switch {
	case e.status == 200:
		return awsproxy.Consumed(e.answer)
	case e.status == 400 && bytes.Contains(e.answer, []byte("ConditionalCheckFailedException")):
		return refused(e.request)
	case e.status == 400 && bytes.Contains(e.answer, []byte("TransactionCanceledException")):
		return cancelled(e.request)
	}
	return nil
}

func refused(request []byte) []awsproxy.Capacity {
	var r struct{ TableName string }
	if json.Unmarshal(request, &r) != nil {
		return nil
	}
	return []awsproxy.Capacity{{TableName: r.TableName, CapacityUnits: 1}}
}

func cancelled(request []byte) (used []awsproxy.Capacity) {
	var r struct {
		TransactItems []map[string]struct{ TableName string }
	}
	if json.Unmarshal(request, &r) != nil {
		return nil
	}
	for _, item := range r.TransactItems {
		for _, call := range item {
			used = append(used, awsproxy.Capacity{TableName: call.TableName, CapacityUnits: 2})
		}
	}
	return used
}
