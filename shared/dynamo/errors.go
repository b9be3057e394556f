package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// failedCondition reports whether err is a write's failed condition. old is the item that
// failed it, without attributes if there was none.
func failedCondition(err error) (old attributes, ok bool) {
	if failed := (*types.ConditionalCheckFailedException)(nil); errors.As(err, &failed) {
		return failed.Item, true
	}
	return nil, false
}

// explain turns the failed condition of a connection's update into the sentinel that
// says why: ErrGone, or what judge makes of the connection as it was. Any other error
// is wrapped with what could not be done.
func explain(what string, err error, judge func(connectionItem) error) error {
	old, ok := failedCondition(err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	item, err := decodeItem(old)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if item.gone() {
		return pubsub.ErrGone
	}
	return judge(item)
}
