package pubsub

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"subwire/shared/metrics"
)

// What is not in the metric's list counts as other.
func TestEveryCodeHasItsMetric(t *testing.T) {
	t.Parallel()
	codes := []string{CodeParse, CodeValidation, CodeInput, CodeUnauthenticated, CodeForbidden, CodeTooLarge, CodeLimit,
		CodeTooMany, CodeReplayLimit, CodeUnavailable, CodeInternal}
	if known := strings.Fields(metrics.Failed.Codes); !slices.Equal(known, codes) {
		t.Errorf("the metric knows %q", known)
	}
}

func TestTheCodeOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		result string
		err    error
		want   string
	}{
		"A result":             {`{"data":{"a":1}}`, nil, ""},
		"A field named errors": {`{"data":{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}}`, nil, ""},
		"A text":               {`{"data":{"a":"\"errors\":[{\"extensions\":"}}`, nil, ""},
		"A field's error": {`{"data":{"a":null},"errors":[{"message":"m","extensions":{"code":"FORBIDDEN"}},{"message":"n"}]}`,
			nil, CodeForbidden},
		"Without a code":  {`{"data":null,"errors":[{"message":"m"}]}`, nil, "none"},
		"A product's":     {`{"data":null,"errors":[{"message":"m","extensions":{"code":"NOT_FOUND"}}]}`, nil, "NOT_FOUND"},
		"No text":         {`{"data":null,"errors":[{"message":"m","extensions":{"code":17}}]}`, nil, "none"},
		"A refusal":       {"", fmt.Errorf("prepare: %w", Refusal(CodeParse, "m")), CodeParse},
		"A fault":         {"", errors.New("table is away"), CodeUnavailable},
		"A fault, though": {`{"data":null,"errors":[{"message":"m"}]}`, errors.New("table is away"), CodeUnavailable},
		"Nothing":         {"", nil, ""},
	} {
		if got := CodeOf(json.RawMessage(tt.result), tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
