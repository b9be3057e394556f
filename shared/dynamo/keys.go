package dynamo

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// During a deployment or rollback, releases run side by side and read each other's
// items. So attributes are only added, and keep their names and meanings. A reader
// ignores what it does not know, and reads what is missing as the previous release
// meant it: an entry or row without "by" is an older one's. A condition may require an
// attribute only if it also allows for its absence; one release later that may go. (The
// previous release wrote entry and row in one transaction; its writes mix with those of
// subscription.go. It knows no unions: it sends an event once for each topic, and ends
// the row of the first alone; a 410 or the TTL deletes the others.)

// A sort key holds 1,024 bytes, an operation id any number. In the key, an id at least
// as long as a hash is replaced by its hash, so that no literal id can equal it; the id
// itself is stored in the row.
const hashedBytes = 2 * sha512.Size

// subscriber is the sort key of a subscription's row: bb#connection#operation. The
// bucket is two hex digits, so rows ascend by bucket. Connection ids come from the
// gateway and hold no '#'; operation ids may.
func subscriber(connectionID, operationID string) string {
	if isHashed(operationID) {
		sum := sha512.Sum512([]byte(operationID))
		operationID = hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("%02x#%s#%s", pubsub.Bucket(connectionID), connectionID, operationID)
}

// isHashed reports whether a hash stands for the id in the sort key.
func isHashed(operationID string) bool { return len(operationID) >= hashedBytes }

// splitSubscriber undoes subscriber, but for a hash.
func splitSubscriber(key string) (connectionID, operationID string, err error) {
	parts := strings.SplitN(key, "#", 3)
	if len(parts) != 3 {
		return "", "", fmt.Errorf("sort key %q is not bucket#connection#operation", key)
	}
	return parts[1], parts[2], nil
}

// attributes is a key, or the values of an expression.
type attributes = map[string]types.AttributeValue

// text, number and boolean are attribute values.
func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

func boolean(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }

// numberOf is the whole number in an attribute. It is false if there is none.
func numberOf(item attributes, name string) (int64, bool) {
	v, _ := item[name].(*types.AttributeValueMemberN)
	if v == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	return n, err == nil
}
