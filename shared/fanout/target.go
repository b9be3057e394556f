package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"subwire/shared/jsontext"
)

// Target is one subscription of one connection. Its JSON is the array [connection id,
// operation id, expiry, viewer], without the viewer if that is 0: a batch holds a
// thousand of them. At is stored elsewhere in the batch.
type Target struct {
	ConnectionID string
	OperationID  string
	Expires      int64 // of the connection, in Unix seconds: nothing is delivered from then on
	Viewer       int   // place in the batch's Viewers, from 1; 0 for the anonymous viewer
	At           int64 // when the client began the operation, in Unix ms: a later one may have its id; 0 if unknown
}

// targets has its own JSON code: encoding/json allocates half a dozen times for each.
type targets []Target

// MarshalJSON writes what marshal would.
func (ts targets) MarshalJSON() ([]byte, error) {
	const typical = 80 // bytes of a target
	dst := append(make([]byte, 0, 2+typical*len(ts)), '[')
	for i, t := range ts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = t.append(dst)
	}
	return append(dst, ']'), nil
}

func (t Target) append(dst []byte) []byte {
	dst = appendString(append(dst, '['), t.ConnectionID)
	dst = appendString(append(dst, ','), t.OperationID)
	dst = strconv.AppendInt(append(dst, ','), t.Expires, 10)
	if t.Viewer != 0 {
		dst = strconv.AppendInt(append(dst, ','), int64(t.Viewer), 10)
	}
	return append(dst, ']')
}

// appendString appends s as jsontext.Append does, and asks that only for what it would escape.
func appendString(dst []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := jsontext.Append(nil, s) // a string always has JSON
			return append(dst, quoted...)
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"')
}

// UnmarshalJSON reads any JSON of the list; what MarshalJSON mostly writes takes two
// allocations.
func (ts *targets) UnmarshalJSON(data []byte) error {
	if list, ok := parsePlain(data); ok {
		*ts = list
		return nil
	}
	var rows [][]json.RawMessage
	if err := json.Unmarshal(data, &rows); err != nil {
		return err
	}
	*ts = make(targets, len(rows))
	for i, row := range rows {
		if err := (*ts)[i].set(row); err != nil {
			return err
		}
	}
	return nil
}

// times are those of the targets, or nil when all are 0.
func (ts targets) times() times {
	if !slices.ContainsFunc(ts, func(t Target) bool { return t.At != 0 }) {
		return nil
	}
	list := make(times, len(ts))
	for i, t := range ts {
		list[i] = t.At
	}
	return list
}

// times has its own JSON code for the same reason.
type times []int64

// MarshalJSON writes what encoding/json would.
func (ts times) MarshalJSON() ([]byte, error) {
	const typical = 14 // bytes of a time
	dst := append(make([]byte, 0, 2+typical*len(ts)), '[')
	for i, t := range ts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, t, 10)
	}
	return append(dst, ']'), nil
}

// UnmarshalJSON reads any JSON of the list; what MarshalJSON writes takes two
// allocations.
func (ts *times) UnmarshalJSON(data []byte) error {
	c := cursor{rest: string(data), ok: true}
	list := make(times, 0, strings.Count(c.rest, ",")+1)
	c.skip("[")
	for c.ok && c.rest != "]" {
		if len(list) > 0 {
			c.skip(",")
		}
		list = append(list, c.number())
	}
	if !c.ok {
		return json.Unmarshal(data, (*[]int64)(ts))
	}
	*ts = list
	return nil
}

func (t *Target) set(row []json.RawMessage) error {
	switch len(row) {
	case 3:
	case 4:
		if err := json.Unmarshal(row[3], &t.Viewer); err != nil {
			return err
		}
	default:
		return fmt.Errorf("target has %d members", len(row))
	}
	return errors.Join(json.Unmarshal(row[0], &t.ConnectionID), json.Unmarshal(row[1], &t.OperationID),
		json.Unmarshal(row[2], &t.Expires))
}

// parsePlain reads a list without escapes and spaces, and returns false for any other.
// The strings share one copy of data.
func parsePlain(data []byte) (targets, bool) {
	c := cursor{rest: string(data), ok: utf8.Valid(data)}
	list := make(targets, 0, strings.Count(c.rest, `"`)/4)
	c.skip("[")
	for c.ok && c.rest != "]" {
		if len(list) > 0 {
			c.skip(",")
		}
		c.skip("[")
		t := Target{ConnectionID: c.text()}
		c.skip(",")
		t.OperationID = c.text()
		c.skip(",")
		t.Expires = c.number()
		if c.ok && strings.HasPrefix(c.rest, ",") {
			c.skip(",")
			t.Viewer = int(c.number())
		}
		c.skip("]")
		list = append(list, t)
	}
	return list, c.ok
}

// cursor goes through valid JSON while ok is set.
type cursor struct {
	rest string
	ok   bool
}

func (c *cursor) skip(token string) {
	var found bool
	c.rest, found = strings.CutPrefix(c.rest, token)
	c.ok = c.ok && found
}

// text reads a string without escapes.
func (c *cursor) text() string {
	c.skip(`"`)
	s, rest, found := strings.Cut(c.rest, `"`)
	c.ok = c.ok && found && strings.IndexByte(s, '\\') < 0
	c.rest = rest
	return s
}

func (c *cursor) number() int64 {
	end := max(0, strings.IndexAny(c.rest, ",]"))
	n, err := strconv.ParseInt(c.rest[:end], 10, 64)
	c.ok = c.ok && err == nil
	c.rest = c.rest[end:]
	return n
}
