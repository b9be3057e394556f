package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"subwire/scripts/internal/wsclient"
)

// Sentences of the protocol ("GraphQL over WebSocket Protocol" in the graphql-ws
// repository), in its order, each with a conversation that shows it.
var sentences = map[string][]string{
	"operations run side by side and are told apart by their ids": {
		"init", "listen a", "query b", "post one", "next a one", "query b", "post two", "next a two", "stop a"},
	"queries, mutations and subscriptions share one name space of ids": {
		"init", "listen a", "> " + operation("a", "mutation { __typename }"), "closed 4409 Subscriber for a already exists"},

	"a connection_init without a payload is acknowledged":   {"init", "alive"},
	"a connection_init with payload null is acknowledged":   {`> {"type":"connection_init","payload":null}`, `< {"type":"connection_ack"}`, "alive"},
	"a connection_init with a payload is acknowledged":      {`> {"type":"connection_init","payload":{"token":"x"}}`, `< {"type":"connection_ack"}`, "alive"},
	"a subscribe may have nulls for what is optional":       {"init", `> {"id":"1","type":"subscribe","payload":{"query":"{ __typename }","operationName":null,"variables":null,"extensions":null}}`, `~ "next"`, `< {"id":"1","type":"complete"}`},
	"a subscribe may name its operation and have variables": {"init", `> {"id":"1","type":"subscribe","payload":{"query":"query A { __typename } query B($x: String!) { b: __type(name: $x) { name } }","operationName":"B","variables":{"x":"Query"},"extensions":{"a":1}}}`, `< {"id":"1","type":"next","payload":{"data":{"b":{"name":"Query"}}}}`, `< {"id":"1","type":"complete"}`},
	"unknown members are ignored":                           {`> {"type":"connection_init","x":1,"id":7}`, `< {"type":"connection_ack"}`, `> {"id":"1","type":"subscribe","y":[],"payload":{"query":"{ __typename }","z":null}}`, `~ "next"`, `~ "complete"`, "alive"},
	"an error message ends its operation and no complete follows": {
		"init", "> " + operation("1", "{"), "failed 1 GRAPHQL_PARSE_FAILED Syntax Error", "alive"},

	"a message of the wrong form is refused before the init, too": {"> {}", "closed 4400"},
	"a subscribe before the acknowledgement is refused":           {"> " + operation("1", "{ __typename }"), "closed 4401 Unauthorized"},
	"an id in use is refused":                                     {"init", "listen 1", "> " + operation("1", "{ __typename }"), "closed 4409 Subscriber for 1 already exists"},
	"the reason for an id of 128B fits into a close frame":        {"init", "listen " + longID, "> " + operation(longID, "{ __typename }"), "closed 4409 Subscriber for " + strings.Repeat("i", 93) + " already exists"},
	"a second connection_init is refused":                         {"init", `> {"type":"connection_init"}`, "closed 4429 Too many initialisation requests"},

	"a query is answered with one next and one complete":         {"init", "> " + operation("1", "{ a: __typename }"), `< {"id":"1","type":"next","payload":{"data":{"a":"Query"}}}`, `< {"id":"1","type":"complete"}`, "alive"},
	"a mutation is answered with one next and one complete":      {"init", "> " + operation("1", `mutation { postMessage(chatId: "CHAT", content: "x", senderName: "y") { content } }`), `< {"id":"1","type":"next","payload":{"data":{"postMessage":{"content":"x"}}}}`, `< {"id":"1","type":"complete"}`, "alive"},
	"the client's complete is not answered, and nothing follows": {"init", "listen 1", "stop 1", "post late", "alive"},
	"an id is free after the server's complete":                  {"init", "query 1", "query 1", "listen 1", "stop 1"},
	"an id is free after an error":                               {"init", "> " + operation("1", "{"), "failed 1 GRAPHQL_PARSE_FAILED", "query 1"},
	"an id is free after the client's complete":                  {"init", "listen 1", "stop 1", "listen 1", "post again", "next 1 again", "stop 1"},
	"a complete of an unknown id is ignored":                     {"init", "> " + complete("never"), "> " + complete("never"), "alive"},
	"a complete of a finished id is ignored":                     {"init", "query 1", "> " + complete("1"), "> " + complete("1"), "alive"},
	"a complete before the acknowledgement is ignored":           {"> " + complete("1"), "init", "alive"},

	"an error of validation ends the operation alone":    {"init", "listen a", "> " + operation("1", "{ nothing }"), "failed 1 GRAPHQL_VALIDATION_FAILED nothing", "post on", "next a on"},
	"an unknown operation name is an error":              {"init", `> {"id":"1","type":"subscribe","payload":{"query":"query A { __typename }","operationName":"B"}}`, "failed 1 GRAPHQL_VALIDATION_FAILED", "alive"},
	"a document without an operation is an error":        {"init", "> " + operation("1", "fragment F on Query { __typename }"), "failed 1 GRAPHQL_VALIDATION_FAILED", "alive"},
	"several operations and no name are an error":        {"init", "> " + operation("1", "query A { __typename } query B { __typename }"), "failed 1 GRAPHQL_VALIDATION_FAILED", "alive"},
	"several root fields of a subscription are an error": {"init", "> " + operation("1", `subscription { a: newMessage(chatId: "1") { id } b: newMessage(chatId: "2") { id } }`), "failed 1 GRAPHQL_VALIDATION_FAILED exactly one root field", "alive"},
	"an empty query is a syntax error, not a bad frame":  {"init", "> " + operation("1", ""), "failed 1 GRAPHQL_PARSE_FAILED", "alive"},
	"a missing variable of a query is an error":          {"init", "> " + operation("1", `query ($x: String!) { __type(name: $x) { name } }`), "failed 1 BAD_USER_INPUT", "alive"},
	"a null variable of a subscription is an error":      {"init", `> {"id":"1","type":"subscribe","payload":{"query":"subscription ($c: ID!) { newMessage(chatId: $c) { id } }","variables":{"c":null}}}`, "failed 1 BAD_USER_INPUT", "alive"},
	"a variable of the wrong type is an error":           {"init", `> {"id":"1","type":"subscribe","payload":{"query":"query ($n: Int) { getNewMessages(chatId: \"c\", limit: $n) { id } }","variables":{"n":"many"}}}`, "failed 1 BAD_USER_INPUT", "alive"},
	"a subscription that cannot begin is an error":       {"init", "> " + operation("1", `subscription { newMessage(chatId: "") { id } }`), "failed 1 BAD_USER_INPUT chatId is empty", "alive"},
	"an error of a resolver is a next with errors":       {"init", "> " + operation("1", `{ getNewMessages(chatId: "") { id } }`), `~ {"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"chatId is empty"`, `< {"id":"1","type":"complete"}`, "alive"},

	"a ping is answered before the init, with its payload": {`> {"type":"ping","payload":{"n":[1]}}`, "< " + pongTo(`{"n":[1]}`), "init"},
	"a ping without a payload has a pong without":          {`> {"type":"ping"}`, `< {"type":"pong"}`, `> {"type":"ping","payload":null}`, `< {"type":"pong"}`, "init"},
	"a pong that nobody asked for is ignored":              {`> {"type":"pong","payload":{}}`, "init", `> {"type":"pong"}`, "alive"},

	"__proto__ is an id as any other":                    {"init", "listen __proto__", "post x", "next __proto__ x", "stop __proto__", "query __proto__"},
	"an id of 1 KB is an id as any other":                {"init", "listen " + longID, "post x", "next " + longID + " x", "stop " + longID},
	"an id with signs of every syntax is one as any":     {"init", "listen #:.$é[0]", "post x", "next #:.$é[0] x", "stop #:.$é[0]"},
	"a result that is too large for a frame is an error": append([]string{"init"}, tooLarge...),
}

var longID = strings.Repeat("i", 128)

// tooLarge asks for the same 8 KB twenty times.
var tooLarge = []string{
	"> " + operation("w", `mutation { postMessage(chatId: "CHAT", content: "`+strings.Repeat("x", 8<<10)+`", senderName: "y") { id } }`), `~ "next"`, `~ "complete"`,
	"> " + operation("1", "{"+many(20, `a%d: getNewMessages(chatId: "CHAT") { content } `)+"}"), "failed 1 PAYLOAD_TOO_LARGE", "alive",
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	for sentence, steps := range sentences {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			converse(t, local.WSURL, steps...)
		})
	}
}

// Each of these frames is refused with 4400 on an acknowledged connection.
func TestMalformedFramesAreRefused(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]string{
		"nothing": ``, "plain text": `hello`, "half an object": `{"type":`, "a list": `[]`, "null": `null`, "a number": `1`,
		"a string": `"ping"`, "true": `true`, "no type": `{}`, "a type that is a number": `{"type":1}`, "a type that is null": `{"type":null}`,
		"an unknown type": `{"type":"hello"}`, "a type in capitals": `{"type":"PING"}`, "the legacy start": `{"id":"1","type":"start","payload":{"query":"{a}"}}`,
		"the legacy stop": `{"id":"1","type":"stop"}`, "the legacy connection_terminate": `{"type":"connection_terminate"}`,
		"a connection_ack": `{"type":"connection_ack"}`, "a next": `{"id":"1","type":"next","payload":{}}`, "an error": `{"id":"1","type":"error","payload":[{"message":"x"}]}`,
		"an init whose payload is text": `{"type":"connection_init","payload":"text"}`,
		"a subscribe without an id":     `{"type":"subscribe","payload":{"query":"{a}"}}`, "a subscribe whose id is a number": `{"id":1,"type":"subscribe","payload":{"query":"{a}"}}`,
		"a subscribe whose id is null": `{"id":null,"type":"subscribe","payload":{"query":"{a}"}}`, "a subscribe with an empty id": operation("", "{a}"),
		"a subscribe without a payload": `{"id":"1","type":"subscribe"}`, "a subscribe whose payload is null": `{"id":"1","type":"subscribe","payload":null}`,
		"a subscribe whose payload is text": `{"id":"1","type":"subscribe","payload":"{a}"}`, "a subscribe whose payload is a list": `{"id":"1","type":"subscribe","payload":[]}`,
		"a payload without a query": payload(`{}`), "a query that is null": payload(`{"query":null}`), "a query that is an object": payload(`{"query":{}}`),
		"variables that are a list": payload(`{"query":"{a}","variables":[]}`), "variables that are text": payload(`{"query":"{a}","variables":"{}"}`),
		"an operationName that is a number": payload(`{"query":"{a}","operationName":1}`), "extensions that are text": payload(`{"query":"{a}","extensions":"x"}`),
		"a complete without an id": `{"type":"complete"}`, "a complete whose id is a number": `{"id":1,"type":"complete"}`, "a complete with an empty id": complete(""),
		"an id longer than 1 KB": operation(longID+"i", "{a}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			converse(t, local.WSURL, "init", "> "+frame, "closed 4400")
		})
	}
}

// The gateway answers a ping before anybody has looked at it, and once more.
func TestAMalformedPingIsRefusedByAHostOnly(t *testing.T) {
	t.Parallel()
	const ping = `> {"type":"ping","payload":[]}`
	if onHost {
		converse(t, local.WSURL, "init", ping, "closed 4400")
	} else {
		converse(t, local.WSURL, "init", ping, `< {"type":"pong"}`, "alive")
	}
}

// pongTo is the answer to a ping with that payload: API Gateway's own is always the same.
func pongTo(payload string) string {
	if onHost {
		return `{"type":"pong","payload":` + payload + `}`
	}
	return `{"type":"pong"}`
}

func payload(p string) string { return `{"id":"1","type":"subscribe","payload":` + p + `}` }

func TestHandshake(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		offer  []string
		origin string
		status int // of a refusal; 0 for success
	}{
		"the subprotocol is graphql-transport-ws":          {offer: []string{"graphql-transport-ws"}, origin: "https://good.example"},
		"it is found in a list, and alone is answered":     {offer: []string{"foo", "graphql-transport-ws"}, origin: "https://good.example"},
		"it is preferred to the legacy one":                {offer: []string{"graphql-ws", "graphql-transport-ws"}},
		"the legacy subprotocol is refused":                {offer: []string{"graphql-ws"}, status: http.StatusBadRequest},
		"its name is compared with case":                   {offer: []string{"GraphQL-Transport-WS"}, status: http.StatusBadRequest},
		"no subprotocol is refused":                        {offer: []string{}, status: http.StatusBadRequest},
		"another origin is forbidden":                      {offer: []string{"graphql-transport-ws"}, origin: "https://evil.example", status: http.StatusForbidden},
		"an origin that begins like a good one is another": {offer: []string{"graphql-transport-ws"}, origin: "https://good.example.evil", status: http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := wsclient.Options{Subprotocols: tc.offer, Header: http.Header{}}
			if tc.origin != "" {
				o.Header.Set("Origin", tc.origin)
			}
			raw, err := wsclient.DialRaw(within(t), hurriedURL(t), o)
			if tc.status != 0 {
				if want := (&wsclient.RefusedError{Status: tc.status}).Error(); err == nil || err.Error() != want {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close(1000, "")
			if raw.Subprotocol() != wsclient.Subprotocol {
				t.Errorf("answered %q", raw.Subprotocol())
			}
		})
	}
}

func hurriedURL(t *testing.T) string {
	t.Helper()
	c, err := hurried()
	if err != nil {
		t.Fatal(err)
	}
	return c.WSURL
}

const byGateway = " by API Gateway, with 1001"

// These conversations take as long as the hurried cloud's limits.
func TestTheEndOfASocketsTime(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]string{
		"a connection that is not initialised in time is refused":         {"closed 4408 Connection initialisation timeout"},
		"pings before the init do not put its deadline off":               {`> {"type":"ping"}`, `< {"type":"pong"}`, "closed 4408 Connection initialisation timeout"},
		"a silent connection is ended" + byGateway:                        {"init", "cut 1001"},
		"a connection that is not silent is ended by its age" + byGateway: {"init", "pings 1001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if onHost && strings.HasSuffix(name, byGateway) {
				t.Skip("only API Gateway ends a socket by its silence or age so soon")
			}
			converse(t, hurriedURL(t), steps...)
		})
	}
}

func TestHowTextTravels(t *testing.T) {
	t.Parallel()
	ping := []byte(`{"type":"ping","payload":{"x":"é"}}`)
	middle := strings.Index(string(ping), "é") + 1 // within a character
	frame := 32<<10 + 1                            // bytes that are too many for API Gateway
	if onHost {
		frame = 128<<10 + 1 // a host counts messages only
	}
	for name, tc := range map[string]struct {
		kind   websocket.MessageType
		frames [][]byte
		want   websocket.StatusCode // 0 for a pong
	}{
		"a message in many frames is put together, characters too": {websocket.MessageText, [][]byte{ping[:3], ping[3:middle], ping[middle:]}, 0},
		"a frame that is too large is a 1009":                      {websocket.MessageText, [][]byte{[]byte(strings.Repeat("x", frame))}, websocket.StatusMessageTooBig},
		"a message over 128 KB in small frames is a 1009":          {websocket.MessageText, fiveTimes30KB(), websocket.StatusMessageTooBig},
		"JSON in a binary frame is a 1003":                         {websocket.MessageBinary, [][]byte{ping}, websocket.StatusUnsupportedData},
		"text that is not UTF-8 is a 1007":                         {websocket.MessageText, [][]byte{ping[:middle], ping[middle+1:]}, websocket.StatusInvalidFramePayloadData},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, _, err := websocket.Dial(within(t), local.WSURL, &websocket.DialOptions{Subprotocols: []string{wsclient.Subprotocol}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if err := writeFrames(within(t), conn, tc.kind, tc.frames); err != nil {
				t.Logf("write: %v", err) // the gateway may have closed by then
			}
			_, got, err := conn.Read(within(t))
			if code := max(websocket.CloseStatus(err), 0); code != tc.want || code == 0 && string(got) != pongTo(`{"x":"é"}`) {
				t.Errorf("got %q, %v; want code %d", got, err, tc.want)
			}
		})
	}
}

func fiveTimes30KB() (frames [][]byte) {
	for range 5 {
		frames = append(frames, []byte(strings.Repeat("x", 30<<10)))
	}
	return frames
}

func writeFrames(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, frames [][]byte) error {
	w, err := conn.Writer(ctx, kind)
	if err != nil {
		return err
	}
	for _, f := range frames {
		if _, err := w.Write(f); err != nil {
			return err
		}
	}
	return w.Close()
}

func TestIDsOfDifferentConnectionsAreUnrelated(t *testing.T) {
	t.Parallel()
	const chatID = "protocol-same-ids"
	var all []*wsclient.Raw
	for range 2 {
		raw := dialRaw(t, local.WSURL)
		all = append(all, raw)
		send(t, raw, `{"type":"connection_init"}`)
		receive(t, raw)
		send(t, raw, operation("1", `subscription { newMessage(chatId: "`+chatID+`") { content } }`))
	}
	awaitSubscribers(t, chatID, 2)
	send(t, all[0], complete("1"))
	awaitSubscribers(t, chatID, 1)
	post(t, chatID, "still there")
	if got := receive(t, all[1]); !strings.Contains(got, "still there") {
		t.Errorf("got %s", got)
	}
}

// A client that does not wait for the acknowledgement is at fault. Timing decides
// whether it is answered or refused; it gets nothing else.
func TestASubscribeBehindTheInitIsAnsweredOrRefused(t *testing.T) {
	t.Parallel()
	for range 10 {
		raw := dialRaw(t, local.WSURL)
		send(t, raw, `{"type":"connection_init"}`, operation("1", "{ __typename }"))
		var got []string
		for len(got) < 3 {
			frame, err := raw.Next(within(t))
			if err != nil {
				break
			}
			got = append(got, frame)
		}
		all := strings.Join(got, "\n")
		answered := len(got) == 3 && strings.Contains(got[1], `"next"`)
		if refused := strings.Contains(all, refusal("4401", "Unauthorized")); !answered && !refused {
			t.Errorf("got %s", all)
		}
	}
}
