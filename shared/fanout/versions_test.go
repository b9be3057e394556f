package fanout

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"subwire/shared/pubsub"
)

// A sender that does not know the version must not take the batch for garbage, whatever
// its other members are.
func TestABatchOfANewerReleaseIsKnown(t *testing.T) {
	t.Parallel()
	const rest = `"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1",0]]}]}`
	for body, want := range map[string]error{
		`{"v":4,` + rest: ErrNewer, `{"v":4}`: ErrNewer, `{"v":1000000,"tasks":{"k":"v"},"event":7}`: ErrNewer,
		`{"v":0,` + rest: ErrUndecodable, `{` + rest: ErrUndecodable, `{"v":-1,` + rest: ErrUndecodable, `{"v":"3"}`: ErrUndecodable, `{"v":1.5}`: ErrUndecodable,
		`{"v":2,"tasks":7}`: ErrUndecodable, `{"v":3`: ErrUndecodable,
	} {
		_, err := Decode([]byte(body))
		if !errors.Is(err, want) || errors.Is(err, ErrNewer) && errors.Is(err, ErrUndecodable) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

// A sender of the release before nodes would pass over them in silence: its version keeps
// the batch from it.
func TestOnlyBatchesWithNodesWaitForASenderThatKnowsThem(t *testing.T) {
	t.Parallel()
	for op, want := range map[string]string{Node: `{"v":3,`, "k": `{"v":1,`, Completed: `{"v":1,`} {
		b := Batch{Event: pubsub.Event{ID: "1", Topic: "t", Root: json.RawMessage("1")},
			Tasks: []Task{{Operation: op, Targets: targets{{ConnectionID: "c", OperationID: "1"}}}}}
		body, _, err := Encode(b)
		if err != nil || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %s, %v", op, body, err)
		}
		if _, err := Decode(body); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestTimesThatAreNotOfTheTargetsAreUndecodable(t *testing.T) {
	t.Parallel()
	for times, want := range map[string]error{
		`[1,2]`: nil, `[ 1, 2 ]`: nil, `[]`: nil, `null`: nil,
		`[1]`: ErrUndecodable, `[1,2,3]`: ErrUndecodable, `["1","2"]`: ErrUndecodable, `{}`: ErrUndecodable, `[1,1.5]`: ErrUndecodable,
	} {
		b, err := Decode([]byte(`{"v":1,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["a","1",0],["b","1",0]],"at":` + times + `}]}`))
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", times, err, want)
		}
		if strings.Contains(times, "2") && err == nil && (b.Tasks[0].Targets[0].At != 1 || b.Tasks[0].Targets[1].At != 2) {
			t.Errorf("%s: got %+v", times, b.Tasks)
		}
	}
}
