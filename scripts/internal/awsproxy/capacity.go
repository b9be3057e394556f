package awsproxy

import (
	"bytes"
	"encoding/json"
)

// Capacity is what a call consumed on a table, in units.
type Capacity struct {
	TableName     string
	CapacityUnits float64
}

// AskForCapacity makes a request in DynamoDB's JSON protocol ask what it consumes.
// Requests that already ask are left alone.
func AskForCapacity(body []byte) []byte {
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

// Consumed reads from the answer what its call consumed; calls to several tables
// answer a list. It is empty for a call that consumes nothing, such as DescribeTable,
// and for anything but JSON.
func Consumed(answer []byte) []Capacity {
	var one struct{ ConsumedCapacity *Capacity }
	if json.Unmarshal(answer, &one) == nil {
		if one.ConsumedCapacity == nil {
			return nil
		}
		return []Capacity{*one.ConsumedCapacity}
	}
	var many struct{ ConsumedCapacity []Capacity }
	if json.Unmarshal(answer, &many) != nil {
		return nil
	}
	return many.ConsumedCapacity
}
