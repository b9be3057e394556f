package transportws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func FuzzDecode(f *testing.F) {
	for _, file := range []string{"form.txt", "connection.txt", "operation.txt"} {
		for _, s := range sections(f, file) {
			f.Add(s.vector(f).frame)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			c, ok := err.(CloseError)
			if !ok || c.Code != CodeBadRequest || c.Reason == "" || len(c.Reason) > maxReasonBytes {
				t.Fatalf("error is %#v", err)
			}
			return
		}
		again := m.Append(nil)
		if !json.Valid(again) {
			t.Fatalf("%q is not JSON", again)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("decode %q: %v", again, err)
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Fatal(diff)
		}
		closing, ok := State{Acknowledged: true}.Receive(m, time.Time{}).(Close)
		if ok && (!utf8.ValidString(closing.Reason) || len(closing.Reason) > maxReasonBytes) {
			t.Fatalf("reason %q", closing.Reason)
		}
	})
}

// moves are what a client may do in FuzzReceive; a step names one by its index.
var moves = []string{
	"init", "ping", "pong", "subscribe a", "subscribe b", "complete a", "complete b", "next a", "malformed a", "wait",
}

// model answers a move from everything that has happened so far. It shares no code with
// Receive, which looks at a State.
func model(history []string, move string) string {
	var acknowledged, late bool
	running := map[string]bool{}
	for _, event := range history {
		switch verb, id, _ := strings.Cut(event, " "); verb {
		case "acknowledge":
			acknowledged = true
		case "wait":
			late = true
		case "start", "stop":
			running[id] = verb == "start"
		}
	}
	verb, id, _ := strings.Cut(move, " ")
	switch {
	case verb == "ping":
		return "pong"
	case verb == "next" || verb == "malformed":
		return "close 4400"
	case verb == "init" && acknowledged:
		return "close 4429"
	case verb == "init" && late:
		return "close 4408"
	case verb == "init":
		return "acknowledge"
	case verb == "subscribe" && !acknowledged:
		return "close 4401"
	case verb == "subscribe" && running[id]:
		return "close 4409"
	case verb == "subscribe":
		return "start " + id
	case verb == "complete" && acknowledged:
		return "stop " + id
	}
	return "ignore"
}

func frameOf(move string) []byte {
	switch verb, id, _ := strings.Cut(move, " "); verb {
	case "init":
		return []byte(`{"type":"connection_init"}`)
	case "subscribe":
		return Message{TypeSubscribe, id, json.RawMessage(`{"query":"{a}"}`)}.Append(nil)
	case "malformed":
		return Message{TypeSubscribe, id, json.RawMessage(`{"query":1}`)}.Append(nil)
	case "next":
		return AppendNext(nil, id, []byte(`{}`))
	case "complete":
		return AppendComplete(nil, id)
	}
	return Message{Type: Type(move)}.Append(nil)
}

// verdict is the part of an effect's description that the model predicts.
var verdict = regexp.MustCompile(`^(close \d+|(start|stop) \S+|\w+)`)

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0, 3, 1, 5, 3, 3})
	f.Add([]byte{1, 2, 6, 9, 0})
	f.Add([]byte{0, 9, 4, 3, 6, 4, 0})
	f.Add([]byte{9, 3})
	f.Add([]byte{0, 8})
	f.Fuzz(func(t *testing.T, steps []byte) {
		state, at := State{InitDeadline: deadline}, deadline
		var history []string
		for _, step := range steps[:min(len(steps), 100)] {
			move := moves[int(step)%len(moves)]
			if move == "wait" {
				at = at.Add(time.Minute)
				history = append(history, "wait")
				continue
			}
			effect := receive(state, frameOf(move), at)
			got := verdict.FindString(describe(effect))
			if want := model(history, move); got != want {
				t.Fatalf("after %q, %q gives %q, want %q", history, move, got, want)
			}
			if _, closed := effect.(Close); closed {
				return
			}
			history, state = append(history, got), state.after(effect)
		}
	})
}

func FuzzSubprotocol(f *testing.F) {
	f.Add("graphql-ws, graphql-transport-ws")
	f.Add(" , graphql-transport-ws\t")
	f.Add("Graphql-transport-ws,graphql-transport-wss")
	offered := regexp.MustCompile(`(?:^|,)[ \t]*graphql-transport-ws[ \t]*(?:,|$)`)
	f.Fuzz(func(t *testing.T, header string) {
		name, ok := Subprotocol(header)
		if ok != offered.MatchString(header) || ok != (name == Name) {
			t.Fatalf("Subprotocol(%q) = %q, %v", header, name, ok)
		}
	})
}

// hostile is a ping with as many members as fit into a frame of 128 KB.
func hostile() []byte {
	frame := []byte(`{"type":"ping"`)
	for i := 0; len(frame) < 128<<10-20; i++ {
		frame = fmt.Appendf(frame, `,"%d":0`, i)
	}
	return append(frame, '}')
}

func BenchmarkDecode(b *testing.B) {
	for name, frame := range map[string][]byte{
		"ping":      []byte(`{"type":"ping"}`),
		"subscribe": []byte(`{"id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","type":"subscribe","payload":{"query":"subscription New($id: ID!) { newMessage(chatId: $id) { id content senderName createdAt } }","operationName":"New","variables":{"id":"general"}}}`),
		"hostile":   hostile(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				Decode(frame)
			}
		})
	}
}

func BenchmarkAppendNext(b *testing.B) {
	payload := []byte(`{"data":{"newMessage":{"id":"01J8ZQ5T3K0000000000000000","content":"` + string(bytes.Repeat([]byte("x"), 200)) + `"}}}`)
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		dst = AppendNext(dst[:0], "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", payload)
	}
}
