package meter

import (
	"bytes"
	"encoding/json"
	"strings"
)

// askForCapacity lets a request of DynamoDB's JSON protocol ask what it
// consumes. Requests that ask already are left alone.
func askForCapacity(body []byte) []byte {
	open := bytes.IndexByte(body, '{')
	if open < 0 || bytes.Contains(body, []byte(`"ReturnConsumedCapacity"`)) {
		return body
	}
	member := `"ReturnConsumedCapacity":"TOTAL"`
	if rest := bytes.TrimSpace(body[open+1:]); len(rest) > 0 && rest[0] != '}' {
		member += ","
	}
	return bytes.Join([][]byte{body[:open+1], []byte(member), body[open+1:]}, nil)
}

// capacity is what a call consumed of a table, in units.
type capacity struct {
	TableName     string
	CapacityUnits float64
}

// dynamoDB counts one call. One that is refused by its condition is charged as
// a write of the item; it is counted as the least that can be, a unit, and two
// for each item of a transaction ("Read and write operations" in the DynamoDB
// Developer Guide). Other errors cost nothing.
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

func consumed(e exchange) []capacity {
	switch {
	case e.status == 200:
		return reported(e.answer)
	case e.status == 400 && bytes.Contains(e.answer, []byte("ConditionalCheckFailedException")):
		return refused(e.request)
	case e.status == 400 && bytes.Contains(e.answer, []byte("TransactionCanceledException")):
		return cancelled(e.request)
	}
	return nil
}

// reported reads the answer: calls of several tables answer a list.
func reported(answer []byte) []capacity {
	var one struct{ ConsumedCapacity *capacity }
	if json.Unmarshal(answer, &one) == nil {
		if one.ConsumedCapacity == nil {
			return nil // of a call that consumes none, such as DescribeTable
		}
		return []capacity{*one.ConsumedCapacity}
	}
	var many struct{ ConsumedCapacity []capacity }
	if json.Unmarshal(answer, &many) != nil {
		return nil
	}
	return many.ConsumedCapacity
}

func refused(request []byte) []capacity {
	var r struct{ TableName string }
	if json.Unmarshal(request, &r) != nil {
		return nil
	}
	return []capacity{{r.TableName, 1}}
}

func cancelled(request []byte) (used []capacity) {
	var r struct {
		TransactItems []map[string]struct{ TableName string }
	}
	if json.Unmarshal(request, &r) != nil {
		return nil
	}
	for _, item := range r.TransactItems {
		for _, call := range item {
			used = append(used, capacity{call.TableName, 2})
		}
	}
	return used
}
