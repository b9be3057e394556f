package transportws

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var deadline = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// section is part of a file in testdata: what follows "-- name --".
type section struct{ name, body string }

func sections(t testing.TB, file string) []section {
	t.Helper()
	content, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []section
	for line := range strings.Lines(string(content)) {
		name, ok := strings.CutPrefix(line, "-- ")
		switch {
		case ok:
			list = append(list, section{name: strings.TrimSuffix(name, " --\n")})
		case len(list) > 0:
			list[len(list)-1].body += line
		}
	}
	return list
}

// vector is one frame, the state it meets and the expected effect.
type vector struct {
	state  State
	at     time.Time
	frame  []byte
	expect string
}

func (s section) vector(t testing.TB) vector {
	t.Helper()
	head, frame, _ := strings.Cut(s.body, "\n\n")
	frame = strings.TrimSuffix(frame, "\n")
	v := vector{state: State{InitDeadline: deadline}, at: deadline}
	for line := range strings.SplitSeq(head, "\n") {
		switch key, value, _ := strings.Cut(line, ": "); key + "=" + value {
		case "state=new":
		case "state=late":
			v.at = deadline.Add(1)
		case "state=acknowledged":
			v.state.Acknowledged = true
			v.at = deadline.Add(time.Hour)
		case "frame=quoted":
			var err error
			if frame, err = strconv.Unquote(frame); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
		case "running=" + value:
			v.state.Running = func(id string) bool { return slices.Contains(strings.Fields(value), id) }
		case "expect=" + value:
			v.expect = value
		default:
			t.Fatalf("%s: header %q is unknown", s.name, line)
		}
	}
	v.frame = []byte(frame)
	return v
}

// receive decodes a frame and returns what to do about it.
func receive(s State, frame []byte, at time.Time) Effect {
	m, err := Decode(frame)
	if err != nil {
		return Close{err.(CloseError)}
	}
	return s.Receive(m, at)
}

// describe writes an effect as the files in testdata do.
func describe(e Effect) string {
	switch e := e.(type) {
	case Acknowledge:
		return strings.TrimSpace("acknowledge " + string(e.Payload))
	case Pong:
		return strings.TrimSpace("pong " + string(e.Payload))
	case Start:
		text := fmt.Sprintf("start %s %q", e.ID, e.Payload.Query)
		if e.Payload.OperationName != "" {
			text += fmt.Sprintf(" name=%q", e.Payload.OperationName)
		}
		if e.Payload.Variables != nil {
			text += " variables=" + string(e.Payload.Variables)
		}
		if e.Payload.Extensions != nil {
			text += " extensions=" + string(e.Payload.Extensions)
		}
		return text
	case Stop:
		return "stop " + e.ID
	case Close:
		return fmt.Sprintf("close %d %s", e.Code, e.Reason)
	}
	return "ignore"
}

// after is the state once an effect has been carried out.
func (s State) after(e Effect) State {
	before := s.Running
	if before == nil {
		before = func(string) bool { return false }
	}
	switch e := e.(type) {
	case Acknowledge:
		s.Acknowledged = true
	case Start:
		s.Running = func(id string) bool { return id == e.ID || before(id) }
	case Stop:
		s.Running = func(id string) bool { return id != e.ID && before(id) }
	}
	return s
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"form.txt", "connection.txt", "operation.txt"} {
		t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) {
			t.Parallel()
			for _, s := range sections(t, file) {
				t.Run(s.name, func(t *testing.T) {
					v := s.vector(t)
					if got := describe(receive(v.state, v.frame, v.at)); got != v.expect {
						t.Errorf("frame %q\n got %s\nwant %s", v.frame, got, v.expect)
					}
				})
			}
		})
	}
}

func TestConversations(t *testing.T) {
	t.Parallel()
	for _, s := range sections(t, "conversations.txt") {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			state := State{InitDeadline: deadline}
			var effect Effect
			for line := range strings.SplitSeq(strings.TrimSpace(s.body), "\n") {
				if frame, ok := strings.CutPrefix(line, "> "); ok {
					effect = receive(state, []byte(frame), deadline)
					state = state.after(effect)
				} else if got := describe(effect); got != line {
					t.Fatalf("got %s, want %s", got, line)
				}
			}
		})
	}
}
