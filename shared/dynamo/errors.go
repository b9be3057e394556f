package dynamo

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"subwire/shared/pubsub"
)

// errUnprocessed is a batch that DynamoDB took only in part.
var errUnprocessed = errors.New("batch was not processed whole")

// conditionFailed is the cancellation code of an item whose condition failed.
const conditionFailed = "ConditionalCheckFailed"

// busyCodes mean that the same request may succeed a little later, whether
// they are an error's code or a cancelled transaction's reason. Throttles are
// here although the SDK retries them: a transaction's reasons it does not read.
var busyCodes = []string{
	"TransactionConflict", "TransactionConflictException", "TransactionInProgressException",
	"ThrottlingError", "ThrottlingException", "ThroughputExceeded",
	"ProvisionedThroughputExceeded", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
}

// contended reports whether it is worth trying again. A failed condition is
// final even when the transaction's other item was busy.
func contended(err error) bool {
	if cancelled := (*types.TransactionCanceledException)(nil); errors.As(err, &cancelled) {
		busy := false
		for _, reason := range cancelled.CancellationReasons {
			code := value(reason.Code)
			if code == conditionFailed {
				return false
			}
			busy = busy || slices.Contains(busyCodes, code)
		}
		return busy
	}
	var coded smithy.APIError
	return errors.Is(err, errUnprocessed) || errors.As(err, &coded) && slices.Contains(busyCodes, coded.ErrorCode())
}

// refused returns the item that made a write's condition fail, which has no
// attributes when there was none, and whether err is such a failure at all.
// In a transaction only the first item may have a condition.
func refused(err error) (old map[string]types.AttributeValue, ok bool) {
	if failed := (*types.ConditionalCheckFailedException)(nil); errors.As(err, &failed) {
		return failed.Item, true
	}
	cancelled := (*types.TransactionCanceledException)(nil)
	if errors.As(err, &cancelled) && len(cancelled.CancellationReasons) > 0 {
		first := cancelled.CancellationReasons[0]
		return first.Item, value(first.Code) == conditionFailed
	}
	return nil, false
}

// explain turns the failed condition of a connection's update into the
// sentinel that says why: ErrGone, or what judge makes of the connection as it
// was. Any other error is wrapped with what could not be done.
func explain(what string, err error, judge func(connectionItem) error) error {
	old, ok := refused(err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	var item connectionItem
	if err := attributevalue.UnmarshalMap(old, &item); err != nil {
		return fmt.Errorf("%s: decode connection: %w", what, err)
	}
	if item.gone() {
		return pubsub.ErrGone
	}
	return judge(item)
}

// value is what p points to, or "".
func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
