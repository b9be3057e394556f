package strictdb

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"subwire/scripts/internal/backend"
)

// Namespaces and content type of DynamoDB's AWS JSON protocol.
const (
	namespace   = "com.amazonaws.dynamodb.v20120810#"
	contentType = "application/x-amz-json-1.0"
)

// throttledMessage is the message of on-demand tables (API reference of
// TransactWriteItems, "ThrottlingError").
const throttledMessage = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling" +
	" your table or index so please try again shortly. If exceptions persist, check if you have a hot key:" +
	" https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html."

// failure answers 400 with an exception.
func failure(exception, message string) *answer {
	return refusal(map[string]any{"__type": namespace + exception, "message": message})
}

func refusal(body map[string]any) *answer {
	a := &answer{header: http.Header{"Content-Type": {contentType}}, status: http.StatusBadRequest}
	_ = json.NewEncoder(&a.body).Encode(body) // strings always encode
	return a
}

// reason is why an item cancelled its transaction.
type reason struct {
	Code    string
	Message string `json:",omitempty"`
}

// cancelled answers a transaction with one reason for each of its items, in order.
func cancelled(over, busy []bool) *answer {
	reasons, codes := make([]reason, len(over)), make([]string, len(over))
	for i := range over {
		switch {
		case over[i]:
			reasons[i] = reason{"ThrottlingError", throttledMessage}
		case busy[i]:
			reasons[i] = reason{"TransactionConflict", conflictMessage}
		default:
			reasons[i] = reason{Code: "None"}
		}
		codes[i] = reasons[i].Code
	}
	return refusal(map[string]any{
		"__type":              namespace + "TransactionCanceledException",
		"CancellationReasons": reasons,
		"Message": fmt.Sprintf("Transaction cancelled, please refer cancellation reasons for specific reasons [%s]",
			strings.Join(codes, ", ")),
	})
}

// throttles answers calls over their throughput. "Diagnosing throttling" names
// several exceptions, but not which one an on-demand table returns for a hot key, so
// two of them alternate.
type throttles struct{ n atomic.Int64 }

func (t *throttles) next(a access) *answer {
	exception, member := "ThrottlingException", "throttlingReasons" // the API spells these two differently
	if t.n.Add(1)%2 == 0 {
		exception, member = "ProvisionedThroughputExceededException", "ThrottlingReasons"
	}
	kind := "TableWriteKeyRangeThroughputExceeded"
	if a.read {
		kind = "TableReadKeyRangeThroughputExceeded"
	}
	return refusal(map[string]any{"__type": namespace + exception, "message": throttledMessage, member: []map[string]string{{
		"reason": kind, "resource": "arn:aws:dynamodb:" + backend.Region + ":" + backend.Account + ":table/" + a.table}}})
}
