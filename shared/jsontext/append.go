package jsontext

import (
	"bytes"
	"encoding/json"
)

// Append appends the JSON of v to dst, as json.Marshal writes it but without the escapes
// for HTML: they turn one byte into six, and what a client writes must not grow on its
// way. After an error, which is json.Marshal's, dst is as it was.
func Append(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
