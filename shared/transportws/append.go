package transportws

import "encoding/json"

// Append appends m to dst as a frame that Decode reads. The payload must be valid JSON,
// and ID valid UTF-8, as Decode returns them.
func (m Message) Append(dst []byte) []byte {
	return appendMessage(dst, m.Type, m.ID, m.Payload)
}

// AppendNext appends a next message. The payload, an execution result, is copied
// verbatim and comes last, so the frames of one result for many subscribers differ only
// at the beginning. It allocates nothing if dst has room.
func AppendNext(dst []byte, id string, payload []byte) []byte {
	return appendMessage(dst, TypeNext, id, payload)
}

// AppendError appends an error message, which ends the operation. The payload is a JSON
// array of at least one GraphQL error.
func AppendError(dst []byte, id string, payload []byte) []byte {
	return appendMessage(dst, TypeError, id, payload)
}

// AppendComplete appends a complete message, which ends the operation.
func AppendComplete(dst []byte, id string) []byte {
	return appendMessage(dst, TypeComplete, id, nil)
}

func appendMessage(dst []byte, t Type, id string, payload json.RawMessage) []byte {
	dst = append(dst, '{')
	if id != "" {
		dst = append(dst, `"id":`...)
		dst = appendString(dst, id)
		dst = append(dst, ',')
	}
	dst = append(dst, `"type":`...)
	dst = appendString(dst, string(t))
	if payload != nil {
		dst = append(dst, `,"payload":`...)
		dst = append(dst, payload...)
	}
	return append(dst, '}')
}

// appendString appends s, which is valid UTF-8, as a JSON string. It escapes what RFC
// 8259 section 7 requires; json.Marshal would allocate.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
