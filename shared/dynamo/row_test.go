package dynamo

import (
	"errors"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// A row that cannot be decoded stands for itself: the others are yielded, even those of
// later pages.
func TestARowThatCannotBeDecodedHidesNoOther(t *testing.T) {
	t.Parallel()
	const row = `{"topic":{"S":"t"},"operationKey":{"S":"k"},"ttl":{"N":"4000000000"},"subscriber":{"S":`
	s, _ := scripted(t,
		answer{200, `{"Items":[` + row + `"00#a#1"}},` + row + `"broken"}},` + row + `"00#b#1"}}],"LastEvaluatedKey":{"topic":{"S":"t"},"subscriber":{"S":"fe#b#1"}}}`},
		answer{200, `{"Items":[` + row + `"fe#c#1"}}]}`}, answer{200, `{"Items":[{"ttl":{"S":"x"}}]}`})
	got, bad := 0, 0
	still(t, s, func(t *testing.T, s *Store) {
		for _, err := range s.Subscriptions(t.Context(), "t", time.Now()) {
			switch {
			case errors.Is(err, pubsub.ErrUndecodableRow):
				bad++
			case err != nil:
				t.Fatal(err)
			default:
				got++
			}
		}
	})
	if got != 3 || bad != 2 {
		t.Errorf("%d rows and %d errors", got, bad)
	}
}
