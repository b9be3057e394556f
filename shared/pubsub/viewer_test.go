package pubsub

import (
	"reflect"
	"testing"
)

// Whoever does not look at what Claim reports gets nothing of a claim of another type, not
// even the part that could be decoded.
func TestAClaimOfAnotherTypeCountsAsNone(t *testing.T) {
	t.Parallel()
	for claims, want := range map[string][]string{
		`{"shops":["a","b"]}`: {"a", "b"},
		`{"shops":["a",5]}`:   nil,
		`{"shops":"a"}`:       nil,
		`{"shops":{"a":1}}`:   nil,
		`{"shops":null}`:      nil,
		`{}`:                  nil,
		``:                    nil,
	} {
		var got []string
		found := Viewer{ID: "ada", Claims: claims}.Claim("shops", &got)
		if !reflect.DeepEqual(got, want) || found && want == nil && claims != `{"shops":null}` {
			t.Errorf("%s: %v, %t", claims, got, found)
		}
	}
}
