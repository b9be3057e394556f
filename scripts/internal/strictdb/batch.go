package strictdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// batch passes on the writable part of a BatchWriteItem and gives the rest back. If
// nothing is writable it refuses the batch.
func (d *DB) batch(c call, over, busy []bool, forward func([]byte) *answer) *answer {
	taken, left := c, map[string][]json.RawMessage{}
	taken.accesses, taken.requests = nil, nil
	for i, r := range c.requests {
		if over[i] || busy[i] {
			left[r.table] = append(left[r.table], r.raw)
			continue
		}
		taken.accesses, taken.requests = append(taken.accesses, c.accesses[i]), append(taken.requests, r)
	}
	switch {
	case len(taken.requests) == 0 && slices.Contains(busy, true):
		return failure(conflictException, conflictMessage)
	case len(taken.requests) == 0:
		return d.exceptions.next(c.accesses[0])
	case len(left) == 0:
		return d.forward(taken, nil, forward)
	}
	var err error
	if taken.body, err = rewrite(c.body, taken.requests); err != nil {
		return failure("SerializationException", err.Error()) // it was decoded before
	}
	a := d.forward(taken, nil, forward)
	if a.ok() {
		giveBack(a, left)
	}
	return a
}

// rewrite returns the body with only these requests.
func rewrite(body []byte, requests []tableRequest) ([]byte, error) {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	items := map[string][]json.RawMessage{}
	for _, r := range requests {
		items[r.table] = append(items[r.table], r.raw)
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return nil, fmt.Errorf("encode items: %w", err)
	}
	whole["RequestItems"] = raw
	return json.Marshal(whole)
}

// giveBack adds requests to those that the answer gives back. An answer that is not
// JSON stays unchanged.
func giveBack(a *answer, left map[string][]json.RawMessage) {
	var whole map[string]json.RawMessage
	if json.Unmarshal(a.body.Bytes(), &whole) != nil {
		return
	}
	unprocessed := map[string][]json.RawMessage{}
	if raw, ok := whole["UnprocessedItems"]; ok && json.Unmarshal(raw, &unprocessed) != nil {
		return
	}
	all := maps.Clone(left)
	for table, requests := range unprocessed {
		all[table] = append(all[table], requests...)
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return
	}
	whole["UnprocessedItems"] = raw
	if body, err := json.Marshal(whole); err == nil {
		a.replace(body)
	}
}
