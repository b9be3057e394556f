package node_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"subwire/shared/node"
	"subwire/shared/pubsub"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]node.Address{
		"node~10.0.0.1:80~boot":    {HostPort: "10.0.0.1:80", Boot: "boot"},
		"node~10.0.0.1:80~boot~s1": {HostPort: "10.0.0.1:80", Boot: "boot", Socket: "s1"},
		"node~[::1]:80~boot~s1":    {HostPort: "[::1]:80", Boot: "boot", Socket: "s1"},
	} {
		if got, ok := node.Parse(id); !ok || got != want || got.String() != id || !strings.HasPrefix(id, got.Node()) {
			t.Errorf("%s is %+v, %t", id, got, ok)
		}
	}
	for _, id := range []string{"", "L0SM9cOFvHcCIhw=", "node~", "node~a", "node~a~", "node~~b", "node~a~b~", "node~a~b~c~d", "Node~a~b"} {
		if got, ok := node.Parse(id); ok {
			t.Errorf("%q is %+v", id, got)
		}
	}
}

func TestAnEventArrivesAsItWas(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]pubsub.Event{
		"Plain":  {ID: "1", Topic: "t", Root: []byte(`{"content":"<ü>"}`)},
		"Traced": {ID: "1", Topic: "t", Root: []byte(`1`), Trace: strings.Repeat("a", 32), At: time.UnixMilli(1_790_000_000_123)},
		"Dated":  {ID: "1", Topic: "t", Root: []byte(`1`), Committed: time.UnixMilli(1_790_000_000_000)},
		"Union":  {ID: "1", Topic: "t", Root: []byte(`1`), Topics: []string{"a", "t"}},
		"End":    {ID: "1", Topic: "t", Root: []byte(`null`), Topics: []string{"a", "t"}, End: true},
		"Ending": {ID: "1", Topic: "t", Root: []byte(`null`), Ending: "overtaken"},
	} {
		body, err := node.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := node.Decode(body)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v, %v of %s", name, got, err, body)
		}
	}
	if _, err := node.Encode(pubsub.Event{ID: "1", Topic: "t", Root: []byte("{")}); err == nil {
		t.Error("what is not JSON was encoded")
	}
}

// The event is as long as in a batch: what encoding/json escapes would make six bytes of one,
// and an event that fits into a queue message would not fit into a post.
func TestAnEventGrowsByNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"<", ">", "&", "\u2028"} {
		root := []byte(`"` + strings.Repeat(text, 230<<10/len(text)) + `"`)
		body, err := node.Encode(pubsub.Event{ID: "1", Topic: "t", Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > len(root)+100 {
			t.Errorf("%d bytes of %q are %d bytes", len(root), text, len(body))
		}
		if got, err := node.Decode(body); err != nil || string(got.Root) != string(root) {
			t.Errorf("%q does not arrive: %v", text, err)
		}
	}
}

func TestWhatIsNoEventIsUndecodable(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{", "7", "null", "{}", `{"id":"1"}`, `{"id":"1","topic":"t"}`, `{"id":"1","root":1}`,
		`{"topic":"t","root":1}`, `{"id":1,"topic":"t","root":1}`, `{"type":"connection_error"}`, `{"id":"1","topic":"t","root":1,"topics":7}`} {
		if _, err := node.Decode([]byte(body)); !errors.Is(err, node.ErrUndecodable) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Whatever is decoded can be encoded, and is the same again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"1","topic":"t","root":{"a":1},"topics":["a","t"],"end":true,"ending":"x","trace":"y","at":5,"committed":6}`))
	f.Add([]byte(`{"id":"1","topic":"t","root":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := node.Decode(body)
		if err != nil {
			if !errors.Is(err, node.ErrUndecodable) {
				t.Error(err)
			}
			return
		}
		again, err := node.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := node.Decode(again)
		if err != nil || got.ID != e.ID || got.Topic != e.Topic || len(got.Topics) != len(e.Topics) || got.End != e.End ||
			got.Ending != e.Ending || got.Trace != e.Trace || !got.At.Equal(e.At) || !got.Committed.Equal(e.Committed) {
			t.Errorf("got %+v, %v, want %+v", got, err, e)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("node~10.0.0.1:80~boot~s1")
	f.Add("L0SM9cOFvHcCIhw=")
	f.Fuzz(func(t *testing.T, id string) {
		if a, ok := node.Parse(id); ok && id != a.String() {
			t.Errorf("%q is %+v", id, a)
		}
	})
}
