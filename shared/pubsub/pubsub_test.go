package pubsub

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
)

func TestOperationKeys(t *testing.T) {
	t.Parallel()
	if got := (Operation{}).Key(); len(got) != 64 {
		t.Errorf("key is %q", got)
	}
	ops := []Operation{
		{Document: "ab"}, {Document: "a", Name: "b"}, {Name: "ab"}, {Document: "a", Variables: json.RawMessage("b")},
		{Document: "a", Name: "b", Variables: json.RawMessage("{}")}, {Document: "a", Name: "b{}"},
	}
	seen := map[string]int{}
	for i, op := range ops {
		if op.Key() != ops[i].Key() {
			t.Error("a key changes")
		}
		if j, dup := seen[op.Key()]; dup {
			t.Errorf("operations %d and %d have one key", i, j)
		}
		seen[op.Key()] = i
	}
}

// Buckets part hot topics among senders: none may get much more than its share.
func TestBucketsAreEven(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for name, id := range map[string]func(int) string{
		"Counted": func(i int) string { return fmt.Sprint("conn-", i) },
		"AsAWS":   func(i int) string { return fmt.Sprintf("R1k%08xMCFIA=", i*2654435761) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var quarters [4]int
			for i := range n {
				b := Bucket(id(i))
				if b < 0 || b >= Buckets {
					t.Fatalf("bucket %d", b)
				}
				quarters[b*4/Buckets]++
			}
			for q, got := range quarters {
				if got < n/5 || got > n*3/10 {
					t.Errorf("quarter %d has %d of %d", q, got, n)
				}
			}
		})
	}
}

// Rows are stored by bucket: another hash would lose sight of them.
func TestBucketIsThatOfFNV(t *testing.T) {
	t.Parallel()
	for i := range 1000 {
		id := fmt.Sprintf("R1k%08xé=", i*2654435761)
		h := fnv.New32a()
		h.Write([]byte(id))
		sum := h.Sum32()
		if got, want := Bucket(id), int((sum^sum>>8^sum>>16^sum>>24)%Buckets); got != want {
			t.Fatalf("bucket of %s is %d, want %d", id, got, want)
		}
	}
}

func TestErrorsHaveNoNullMembers(t *testing.T) {
	t.Parallel()
	for _, e := range []Error{{Message: "m"}, NewError(CodeInput, "m"), {Message: "m", Locations: []Location{{1, 2}}, Path: []any{"a", 1}}} {
		body, err := json.Marshal(Errors{e})
		if err != nil || strings.Contains(string(body), "null") {
			t.Errorf("got %s, %v", body, err)
		}
	}
}

// Clients of the chat make UUIDs of the ids of operations, and of chats.
func TestAsManyOperationsRunAsMayRun(t *testing.T) {
	t.Parallel()
	const uuid = "123e4567-e89b-12d3-a456-426614174000"
	for _, max := range []int{100, 500, 1000} {
		c := Connection{Operations: map[string]Running{}}
		for i := range max {
			id, op := fmt.Sprintf("%.32s%04d", uuid, i), Running{Topic: "newMessage/" + uuid}
			if !c.HasRoom(id, op, max) {
				t.Fatalf("only %d of %d run", i, max)
			}
			c.Operations[id] = op
		}
	}
}
