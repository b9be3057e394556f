package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// wayIn is one kind of frame or request.
type wayIn struct {
	name    string
	sockets int  // acknowledged sockets that it needs: one, or one for each use
	silent  int  // the same, but not acknowledged
	large   bool // whether it uses the large connection
	before  func(i int) string
	frame   func(i int) string // the frame to be metered; or
	request func(ctx context.Context) error
	mock    string               // the route by which the gateway answers the frame itself; nobody is charged for it
	drawn   func(t toll) float64 // units that the allowance of its address is charged
	guarded bool                 // whether its cloud asks for tokens
	checked bool                 // whether the check of a handshake is part of it
}

// ordinary is the measure for the others. Those that cost more than twelve times as much
// have names.
const (
	ordinary  = "subscribe"
	replayed  = "replay of 490 short messages"
	resumed   = "replay of 115 messages of 8 KB"
	queried   = "query of 30 times 100 messages"
	requested = "HTTP: query of 100 messages of 8 KB"
	asset     = "HTTP: largest asset"

	onLarge = ", on the largest connection"
)

const listenDocument = `subscription($chatId: ID!) { newMessage(chatId: $chatId) { id content } }`

func startFrame(id, query, variables string) string {
	return fmt.Sprintf(`{"id":"%s","type":"subscribe","payload":{"query":"%s","variables":%s}}`, id, query, variables)
}

func stopFrame(id string) string { return fmt.Sprintf(`{"type":"complete","id":%q}`, id) }

// in returns the variables of a subscription to the chat.
func in(chatID string) string { return fmt.Sprintf(`{"chatId":%q}`, chatID) }

// abuseChat is a chat to be read. It has nearly as much as a replay may have, in
// messages or in bytes.
type abuseChat struct {
	id              string
	messages, bytes int // bytes: of a message's content
}

var (
	longChat  = abuseChat{"long", 115, chat.MaxContentBytes}
	shortChat = abuseChat{"short", 490, 20}
)

// fill writes the chats to be read.
func (a *abuse) fill(ctx context.Context) error {
	a.store = dynamo.New(dynamo.NewClient(a.cloud.Backend.AWS()), dynamo.Tables{
		Products: a.cloud.Tables, Connections: a.cloud.Tables[topology.Connections.Name]})
	for _, c := range []abuseChat{longChat, shortChat} {
		for i := range c.messages {
			m := chat.Message{ID: abuseID(i), ChatID: c.id, Content: strings.Repeat("x", c.bytes), SenderName: "a",
				CreatedAt: time.Now()}
			if err := chattest.Put(ctx, a.store, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// abuseID is the id of the chat's message i, from long ago.
func abuseID(i int) string {
	var id ulid.ULID
	_ = id.SetTime(uint64(1_700_000_000_000 + i)) // it is in range
	return id.String()
}

func opID(i int) string { return fmt.Sprint("op", i) }

// framed is what the allowance draws for a frame, and units besides.
func framed(units func(t toll) float64) func(toll) float64 {
	return func(t toll) float64 { return allowance.Frame(t.in) + units(t) }
}

// nothing is what is drawn for a frame that no function sees.
func nothing(toll) float64 { return 0 }

func flat(units float64) func(toll) float64 { return framed(func(toll) float64 { return units }) }

// begun is what it draws for a frame that begins an operation.
func begun(t toll) float64 {
	return allowance.Frame(t.in) + allowance.Operation + allowance.Stored(t.in)
}

func answered(units float64) func(toll) float64 {
	return func(t toll) float64 { return begun(t) + units + allowance.Sent(t.out) }
}

func overHTTP(units float64) func(toll) float64 {
	return func(t toll) float64 { return allowance.Request() + units + allowance.Transferred(t.out) }
}

// written is what it draws for writing n messages of that many bytes.
func written(n, bytes int) float64 {
	return float64(n) * (allowance.Stored(bytes) + allowance.FannedOut(bytes))
}

func (a *abuse) post(query, variables string) func(context.Context) error {
	body := fmt.Sprintf(`{"query":"%s","variables":%s}`, query, variables)
	return func(ctx context.Context) error { return a.call(ctx, "POST", topology.GraphQLPath, body, nil) }
}

func (a *abuse) get(path string, header map[string]string) func(context.Context) error {
	return func(ctx context.Context) error { return a.call(ctx, "GET", path, "", header) }
}

func (a *abuse) replay(way string, c abuseChat) wayIn {
	document := fmt.Sprintf(`subscription { newMessage(chatId: \"%s\", after: \"%s\") { content } }`, c.id, abuseID(-50_000))
	frame := func(i int) string { // 2,000 times its bytes may be replayed
		return startFrame(opID(i), document, `{}`) + strings.Repeat(" ", 400)
	}
	return wayIn{name: way, sockets: a.times, frame: frame, drawn: func(t toll) float64 {
		const page, look = 50, 25
		n, size := float64(c.messages), c.bytes+100
		return begun(t) + allowance.Read(c.messages*size) + 2*allowance.Read(0) +
			n/page*allowance.Stored(0) + n/look*allowance.Read(0) + n*allowance.Sent(t.out/c.messages)
	}}
}

// ways lists the ways in. The handshake is last, as its check comes later.
func (a *abuse) ways() []wayIn {
	const (
		field  = `postMessage(chatId: $chatId, content: $content, senderName: \"a\") { id }`
		write  = `mutation($chatId: ID!, $content: String!) `
		stored = chat.MaxContentBytes + 100 // roughly, of the chat's messages
	)
	settings := topology.Defaults()
	content := func(bytes int) string {
		return fmt.Sprintf(`{"chatId":"other","content":%q}`, strings.Repeat("x", bytes))
	}
	complete := func(i int) string { return stopFrame(opID(i)) }
	comment := "#" + strings.Repeat("x", topology.MaxSubscriptionBytes.In(settings)-len(listenDocument)-100)
	large := comment + `\n` + listenDocument
	longest := strings.Repeat("i", topology.MaxOperationIDBytes.In(settings)-8)
	look, touch := allowance.Look(a.stored), allowance.Touch(a.stored)
	return []wayIn{
		{name: "ping", sockets: 1, mock: "ping", frame: func(int) string { return `{"type":"ping"}` }, drawn: nothing},
		{name: "ping of 32 KB", sockets: 1, mock: "ping", frame: func(int) string {
			return `{"type":"ping","payload":{"a":"` + strings.Repeat("x", topology.MaxFrameBytes-100) + `"}}`
		}, drawn: nothing},
		{name: "heartbeat", sockets: 1, mock: "pong", frame: func(int) string { return `{"type":"pong"}` }, drawn: nothing},
		{name: "invalid frame", sockets: a.times, frame: func(int) string { return `nonsense` },
			drawn: flat(allowance.Ending)},
		{name: ordinary, sockets: 1,
			frame: func(i int) string { return startFrame(opID(i), listenDocument, in("own")) }, drawn: begun},
		{name: "subscribe of 4 KB", sockets: 1,
			frame: func(i int) string { return startFrame(opID(i), large, in(opID(i))) }, drawn: begun},
		{name: "subscribe, longest id", sockets: a.times,
			frame: func(i int) string { return startFrame(longest+opID(i), listenDocument, in("own")) }, drawn: begun},
		{name: "subscribe, refused", sockets: 1,
			frame: func(i int) string { return startFrame(opID(i), `{ nothing }`, `{}`) }, drawn: begun},
		{name: "complete", sockets: 1, before: func(i int) string { return startFrame(opID(i), listenDocument, in("own")) },
			frame: complete, drawn: flat(allowance.Stop)},
		{name: "complete of nothing", sockets: 1, frame: complete, drawn: flat(allowance.Stop)},
		{name: "complete" + onLarge, large: true,
			before: func(i int) string { return startFrame(opID(i), listenDocument, in(opID(i))) }, frame: complete, drawn: flat(allowance.Stop + look + touch)},
		{name: "complete of nothing" + onLarge, large: true,
			frame: func(i int) string { return stopFrame("no" + opID(i)) },
			drawn: flat(allowance.Stop + look + touch)},
		{name: "query" + onLarge, large: true,
			frame: func(i int) string { return startFrame(opID(i), `{ __typename }`, `{}`) },
			drawn: answered(look + 2*touch)},
		{name: "subscribe" + onLarge, large: true,
			frame: func(i int) string { return startFrame(opID(i), listenDocument, in(opID(i))) },
			drawn: func(t toll) float64 { return begun(t) + look + 2*touch }},
		a.replay(replayed, shortChat),
		a.replay(resumed, longChat),
		{name: "query of 10 messages of 8 KB", sockets: 1, frame: func(i int) string {
			return startFrame(opID(i), `{ getNewMessages(chatId: \"long\", limit: 10) { content } }`, `{}`)
		}, drawn: answered(allowance.Read(10 * stored))},
		{name: queried, sockets: 1, frame: func(i int) string {
			return startFrame(opID(i), repeated(30, `getNewMessages(chatId: \"long\", limit: 100) { id }`), `{}`)
		}, drawn: answered(allowance.Read(topology.MaxReadBytes.In(settings)))},
		{name: "mutation", sockets: 1,
			frame: func(i int) string { return startFrame(opID(i), write+"{ "+field+" }", content(20)) }, drawn: answered(written(1, 120))},
		{name: "mutation of 5 messages of 8 KB", sockets: 1, frame: func(i int) string {
			document := write + repeated(topology.MaxMutations.In(settings), field)
			return startFrame(opID(i), document, content(chat.MaxContentBytes))
		}, drawn: answered(written(5, stored))},
		{name: requested, request: a.post(`{ getNewMessages(chatId: \"long\", limit: 100) { content } }`, `{}`),
			drawn: overHTTP(allowance.Read(100 * stored))},
		{name: "HTTP: query, refused", request: a.post(`{ nothing }`, `{}`), drawn: overHTTP(0)},
		{name: "HTTP: mutation", request: a.post(write+"{ "+field+" }", content(20)), drawn: overHTTP(written(1, 120))},
		{name: "HTTP: page", request: a.get("/", nil), drawn: overHTTP(0)},
		{name: asset, request: a.get("/assets/"+largestAsset(a.root), map[string]string{"Accept-Encoding": "gzip"}),
			drawn: overHTTP(0)},
		{name: "garbage token, with AUTH=jwt", guarded: true, silent: a.times,
			frame: func(int) string { return `{"type":"connection_init","payload":{"authorization":"Bearer a.b.c"}}` },
			drawn: flat(allowance.Init + allowance.Ending)},
		{name: "HTTP: garbage token, with AUTH=jwt", guarded: true,
			drawn: overHTTP(0), request: func(ctx context.Context) error {
				return a.call(ctx, "POST", topology.GraphQLPath, `{"query":"{__typename}"}`, map[string]string{"Authorization": "Bearer a.b.c"})
			}},
		{name: "connection_init", silent: a.times, frame: func(int) string { return `{"type":"connection_init"}` },
			drawn: flat(allowance.Init)},
		{name: "handshake and its end", checked: true, request: a.open,
			drawn: func(toll) float64 { return allowance.Handshake }},
	}
}

// repeated returns a selection with the field n times, each under an alias.
func repeated(n int, field string) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, " f%d: %s", i, field)
	}
	return b.String() + " }"
}

// largestAsset returns the name of the largest file of the built pages.
func largestAsset(root string) string {
	var largest fs.FileInfo
	files, _ := filepath.Glob(filepath.Join(root, "functions/graphql/web/dist/assets/*.gz")) // the pattern is valid
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && (largest == nil || info.Size() > largest.Size()) {
			largest = info
		}
	}
	if largest == nil {
		return "none"
	}
	return strings.TrimSuffix(largest.Name(), ".gz")
}
