package pubsub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
)

// CodeOf returns the code of the first error of an answer: that of err, or if that is nil,
// of the result of an operation. It is UNAVAILABLE for an err that clients are not shown,
// "none" for an error of a result without a code, and "" if there is no error.
func CodeOf(result json.RawMessage, err error) string {
	coded, ok := errors.AsType[interface {
		error
		GraphQLCode() string
	}](err)
	switch {
	case ok:
		return cmp.Or(coded.GraphQLCode(), "none")
	case err != nil:
		return CodeUnavailable
	case !bytes.Contains(result, []byte(`"errors":[`)): // nearly always
		return ""
	}
	var r struct {
		Errors Errors `json:"errors"`
	}
	if json.Unmarshal(result, &r) != nil || len(r.Errors) == 0 {
		return ""
	}
	return cmp.Or(r.Errors.GraphQLCode(), "none")
}

// GraphQLCode is the code of the first error, or "".
func (e Errors) GraphQLCode() string {
	code, _ := e[0].Extensions["code"].(string)
	return code
}
