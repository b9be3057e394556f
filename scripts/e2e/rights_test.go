package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/scripts/subwire/schema"
	"subwire/shared/chat"
	"subwire/shared/products"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
)

// matrix says who may do what with a product. A third product needs a matrix, its lines
// in the tests, and nothing else.
type matrix struct {
	viewers map[string]issuer.Claims
	best    string   // the viewer whose token is forged and expired
	secrets []string // what no refusal shows
	rows    []row
}

// row is an operation that every viewer tries.
type row struct {
	query     string
	variables func(by attempt) map[string]any
	may       []string                // the viewers who may; "*" for all
	shows     func(by attempt) string // part of the result of a query or mutation
	like      int                     // how many rows before is the one that is refused with the same answer; 0 for none

	// The rest is of subscriptions.
	topic func(viewer string) string
	more  func(viewer string) string                // another topic of it, or ""; nil for none
	hears func(viewer string) (want, also []string) // results: those that come, and others that may
}

// attempt is one try of a row.
type attempt struct{ viewer, transport string }

func (by attempt) String() string { return by.viewer + " by " + by.transport }

var transports = []string{"HTTP", "WebSocket"}

func (r row) subscribes() bool { return strings.HasPrefix(r.query, "subscription") }

func (r row) operation(by attempt) wsclient.Operation {
	return wsclient.Operation{Query: r.query, Variables: r.variables(by)}
}

// check tries all rows: all viewers, over both transports, in the order of the rows. All
// subscriptions begin first and hear what the mutations do.
func (m matrix) check(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	people, names := map[string]*person{}, slices.Sorted(maps.Keys(m.viewers))
	for _, name := range names {
		people[name] = enter(t, c, m.viewers[name], nil)
	}
	answers := map[attempt][]string{} // refusals, by row
	refused := func(by attempt, r row, answer string) {
		if !strings.Contains(answer, `"code":"FORBIDDEN"`) {
			t.Errorf("%s: %s got %s; want a refusal", r.query, by, answer)
		}
		if all := answers[by]; r.like > 0 && all[len(all)-r.like] != answer {
			t.Errorf("%s: %s got %s, but %s for what is not there", r.query, by, answer, all[len(all)-r.like])
		}
		m.hides(t, r.query+": "+by.String(), answer)
	}
	type hearing struct {
		row
		*wsclient.Subscription
		viewer string
	}
	var heard []hearing
	topics := map[string]int{}
	for _, r := range m.rows {
		for _, name := range names {
			by := attempt{name, transports[1]}
			switch {
			case !r.subscribes():
			case may(r.may, name):
				s, err := people[name].client.Subscribe(within(t), r.operation(by))
				if err != nil {
					t.Fatal(err)
				}
				heard = append(heard, hearing{r, s, name})
				topics[r.topic(name)]++
				if r.more != nil && r.more(name) != "" {
					topics[r.more(name)]++
				}
			default:
				answer := people[name].overSocket(t, r.operation(by))
				refused(by, r, answer)
				answers[by] = append(answers[by], answer)
			}
		}
	}
	for topic, n := range topics {
		await(t, fmt.Sprintf("%d rows of %s", n, topic), func() bool { return rows(t, c, topic) == n })
	}
	clear(answers)
	for _, r := range m.rows {
		for _, name := range names {
			for _, transport := range transports {
				by, run := attempt{name, transport}, people[name].overHTTP
				if transport == transports[1] {
					run = people[name].overSocket
				}
				switch {
				case r.subscribes() && transport == transports[0]: // no stream over HTTP
					_, answer, _ := people[name].request(t, encode(t, r.operation(by)), "Bearer "+people[name].token)
					if !strings.Contains(answer, `"errors"`) {
						t.Errorf("%s: %s got %s", r.query, by, answer)
					}
					m.hides(t, r.query+": "+by.String(), answer)
				case r.subscribes():
				case may(r.may, name):
					answer, want := run(t, r.operation(by)), r.shows(by)
					if strings.Contains(answer, `"errors"`) || !strings.Contains(answer, want) {
						t.Errorf("%s: %s got %s; want %s", r.query, by, answer, want)
					}
					answers[by] = append(answers[by], "")
				default:
					answer := run(t, r.operation(by))
					refused(by, r, answer)
					answers[by] = append(answers[by], answer)
				}
			}
		}
	}
	for _, h := range heard {
		h.hear(t, h.viewer, h.Subscription)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, h := range heard { // nothing follows
		if _, err := people[h.viewer].client.Query(within(t), wsclient.Operation{Query: `{ __typename }`}); err != nil {
			t.Fatal(err)
		}
		want, also := h.hears(h.viewer)
		for result, err := h.Next(over); err == nil; result, err = h.Next(over) {
			if !slices.Contains(slices.Concat(want, also), string(result)) {
				t.Errorf("%s: %s heard %s in the end", h.query, h.viewer, result)
			}
		}
	}
	m.door(t, c)
}

// hides checks that the answer to somebody who may not see it has no secret.
func (m matrix) hides(t *testing.T, what, answer string) {
	t.Helper()
	for _, secret := range m.secrets {
		if strings.Contains(answer, secret) {
			t.Errorf("%s: the answer shows %q: %s", what, secret, answer)
		}
	}
}

// hear reads the subscription until all that is wanted has come. Delivery is at least
// once, and in order only for each row of a table.
func (r row) hear(t *testing.T, viewer string, s *wsclient.Subscription) {
	t.Helper()
	want, also := r.hears(viewer)
	missing := map[string]bool{}
	for _, result := range want {
		missing[result] = true
	}
	for len(missing) > 0 {
		result := next(t, s)
		if !slices.Contains(slices.Concat(want, also), result) {
			t.Errorf("%s: %s heard %s; still wanted are %v", r.query, viewer, result, slices.Sorted(maps.Keys(missing)))
		}
		delete(missing, result)
	}
}

// door checks that who has no token, or none that counts, gets nothing.
func (m matrix) door(t *testing.T, c *cloud.Cloud) {
	t.Helper()
	other, err := issuer.New(c.IssuerURL) // an issuer whose key is not published
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.Token(m.viewers[m.best])
	if err != nil {
		t.Fatal(err)
	}
	expired := m.viewers[m.best]
	expired.Life = -time.Minute
	for name, tc := range map[string]struct {
		token string
		code  int // of connection_error
	}{"nobody": {"", 4403}, "forged": {forged, 4403}, "expired": {sign(t, c, expired), 4401}} {
		p := &person{cloud: c, name: name, token: tc.token}
		authorization, options := "", wsclient.Options{}
		if tc.token != "" {
			authorization = "Bearer " + tc.token
			options.Init = map[string]string{"authorization": authorization}
		}
		for _, r := range m.rows {
			status, answer, _ := p.request(t, encode(t, r.operation(attempt{m.best, "HTTP"})), authorization)
			if status != http.StatusUnauthorized || !strings.Contains(answer, `"code":"UNAUTHENTICATED"`) {
				t.Errorf("%s: %s got %d %s", r.query, name, status, answer)
			}
			m.hides(t, r.query+": "+name, answer)
		}
		_, err := wsclient.Dial(within(t), c.WSURL, options)
		if closed, ok := errors.AsType[*wsclient.ClosedError](err); !ok || closed.Code != tc.code || !closed.Told() {
			t.Errorf("%s: the socket says %v", name, err)
		}
	}
	for _, r := range m.rows { // before connection_init
		raw := dialRaw(t, c.WSURL)
		send(t, raw, `{"id":"1","type":"subscribe","payload":`+encode(t, r.operation(attempt{m.best, "WebSocket"}))+`}`)
		if frame, err := raw.Next(within(t)); err != nil || !strings.Contains(frame, "connection_error: 4401 Unauthorized") {
			t.Errorf("%s: before connection_init: %s, %v", r.query, frame, err)
		}
		raw.Close(1000, "")
	}
}

// untried are the root fields of the schema, and their arguments, that no row uses.
func (m matrix) untried(t *testing.T, sdl string) (untried []string) {
	t.Helper()
	parse := func(text string) *ast.Document {
		document, err := parser.Parse(parser.ParseParams{Source: text})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return document
	}
	tried := map[string]bool{}
	for _, r := range m.rows {
		operation := parse(r.query).Definitions[0].(*ast.OperationDefinition)
		root := strings.ToUpper(operation.Operation[:1]) + operation.Operation[1:]
		for _, s := range operation.SelectionSet.Selections {
			field := s.(*ast.Field)
			tried[root+"."+field.Name.Value] = true
			for _, a := range field.Arguments {
				tried[root+"."+field.Name.Value+"."+a.Name.Value] = true
			}
		}
	}
	for _, d := range parse(sdl).Definitions {
		o, ok := d.(*ast.ObjectDefinition)
		if !ok || !slices.Contains([]string{"Query", "Mutation", "Subscription"}, o.Name.Value) {
			continue
		}
		for _, f := range o.Fields {
			all := []string{o.Name.Value + "." + f.Name.Value}
			for _, a := range f.Arguments {
				all = append(all, all[0]+"."+a.Name.Value)
			}
			for _, name := range all {
				if !tried[name] {
					untried = append(untried, name)
				}
			}
		}
	}
	return untried
}

// Whoever adds an operation or an argument also says here who may use it.
func TestEveryOperationIsInItsMatrix(t *testing.T) {
	t.Parallel()
	for product, m := range map[string]matrix{"chat": chatMatrix("", nil), "shop": shopMatrix("", "")} {
		app, err := products.App(product)
		if err != nil {
			t.Fatal(err)
		}
		sdl, err := schema.Of(app)
		if err != nil {
			t.Fatal(err)
		}
		if untried := m.untried(t, sdl); len(untried) > 0 {
			t.Errorf("%s: no row has %v", product, untried)
		}
		m.rows = slices.DeleteFunc(m.rows, row.subscribes)
		if len(m.untried(t, sdl)) == 0 {
			t.Errorf("%s: subscriptions are not missed", product)
		}
	}
}

const (
	lowestID  = "00000000000000000000000000"
	highestID = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
)

// chatMatrix is of chats whose ids begin with prefix, with "first in COLOUR" in each; first
// has the ids of these.
func chatMatrix(prefix string, first map[string]string) matrix {
	m := matrix{viewers: map[string]issuer.Claims{}, best: "ada"}
	for name := range viewers {
		m.viewers[name] = claims(name, prefix, 0)
	}
	for _, colour := range colours {
		id, opening := prefix+colour, "first in "+colour
		m.secrets = append(m.secrets, opening)
		var readers, writers []string
		for name, v := range viewers {
			if may(v.read, colour) {
				readers = append(readers, name)
			}
			if may(v.write, colour) {
				writers = append(writers, name)
			}
		}
		chatID := func(attempt) map[string]any { return map[string]any{"chat": id} }
		shows := func(attempt) string { return opening }
		for _, page := range []string{`limit: 100`, `after: "` + lowestID + `"`, `before: "` + highestID + `"`} {
			m.rows = append(m.rows, row{query: `query ($chat: ID!) { getNewMessages(chatId: $chat, ` + page + `) { content } }`,
				variables: chatID, may: readers, shows: shows})
		}
		m.rows = append(m.rows, row{
			query: `mutation ($chat: ID!, $text: String!, $key: ID!) {
				postMessage(chatId: $chat, content: $text, senderName: "forged", key: $key) { content senderName } }`,
			variables: func(by attempt) map[string]any {
				return map[string]any{"chat": id, "text": by.String(), "key": by.String()}
			},
			may: writers,
			shows: func(by attempt) string {
				return fmt.Sprintf(`"content":"%s","senderName":"%s"`, by, strings.ToUpper(by.viewer))
			},
		})
		heard := func(content, writer, viewer string) string {
			return fmt.Sprintf(`{"data":{"newMessage":{"content":"%s","chatId":"%s","senderName":"%s","mine":%t}}}`,
				content, id, strings.ToUpper(writer), writer == viewer)
		}
		for _, arguments := range []string{``, `, after: "` + lowestID + `"`} {
			m.rows = append(m.rows, row{
				query: `subscription ($chat: ID!) {
					newMessage(chatId: $chat` + arguments + `) { content chatId senderName mine } }`,
				variables: chatID, may: readers, topic: func(string) string { return chat.Topic(id) },
				hears: func(viewer string) (want, also []string) {
					also = append(also, heard(opening, "ada", viewer)) // planned again, or replayed
					for _, writer := range writers {
						for _, transport := range transports {
							want = append(want, heard(attempt{writer, transport}.String(), writer, viewer))
						}
					}
					if arguments != "" {
						return append(want, also...), nil
					}
					return want, also
				}})
		}
		m.rows = append(m.rows, peopleRows(id, first[colour], readers, writers)...)
	}
	return m
}

// peopleRows are about those who are in a chat: who is here, who is typing, how far
// everybody has read.
func peopleRows(chatID, first string, readers, writers []string) []row {
	variables := func(attempt) map[string]any { return map[string]any{"chat": chatID} }
	itself := func(by attempt) string { // whatever is forged
		return fmt.Sprintf(`"%s","name":"%s"`, by.viewer, strings.ToUpper(by.viewer))
	}
	topic := func(topic string) func(string) string { return func(string) string { return topic } }
	// One of everybody in a list, at least: a repeated one may be left out.
	fromEach := func(field, who string, all []string, rest string) func(string) (want, also []string) {
		return func(string) (want, _ []string) {
			for _, name := range all {
				want = append(want, fmt.Sprintf(`{"data":{"%s":{"chatId":"%s","%s":"%s","name":"%s"%s}}}`,
					field, chatID, who, name, strings.ToUpper(name), rest))
			}
			return want, nil
		}
	}
	here := func(n int) string { return fmt.Sprintf(`{"data":{"here":{"count":%d,"more":false}}}`, n) }
	return []row{
		{query: `mutation ($chat: ID!) { typing(chatId: $chat, as: "forged", name: "forged") { chatId who name } }`,
			variables: variables, may: writers, shows: itself},
		{query: `subscription ($chat: ID!) { typing(chatId: $chat) { chatId who name } }`,
			variables: variables, may: readers, topic: topic("typing/" + chatID), hears: fromEach("typing", "who", writers, "")},
		{query: `mutation ($chat: ID!) {
			markRead(chatId: $chat, messageId: "` + first + `", as: "forged", name: "forged") { chatId reader name } }`,
			variables: variables, may: readers, shows: itself},
		{query: `query ($chat: ID!) { readMarks(chatId: $chat) { chatId } }`,
			variables: variables, may: readers, shows: func(attempt) string { return `"readMarks":[` }},
		{query: `subscription ($chat: ID!) { readMarks(chatId: $chat) { chatId reader name messageId } }`,
			variables: variables, may: readers, topic: topic("readMarks/" + chatID),
			hears: fromEach("readMarks", "reader", readers, `,"messageId":"`+first+`"`)},
		{query: `subscription ($chat: ID!) { here(chatId: $chat, as: "forged") { count more } }`,
			variables: variables, may: readers, topic: topic(pubsub.PresencePrefix + chatID),
			hears: func(string) (want, also []string) {
				for n := range len(readers) {
					also = append(also, here(n))
				}
				return []string{here(len(readers))}, also
			}},
	}
}

// firstID is the id of the first message of the chat.
func firstID(t *testing.T, p *person, chatID string) string {
	t.Helper()
	var got struct {
		Data struct{ GetNewMessages []struct{ ID string } }
	}
	answer := p.overHTTP(t, chatOperation(`query ($chat: ID!) { getNewMessages(chatId: $chat) { id } }`, chatID, ""))
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.Data.GetNewMessages) == 0 {
		t.Fatalf("%s: %v", answer, err)
	}
	return got.Data.GetNewMessages[0].ID
}

// Three viewers by three chats by every operation, over HTTP and over WebSocket.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	prefix := fresh("matrix")
	first := map[string]string{}
	ada := newPerson(t, "ada", prefix)
	for _, colour := range colours {
		ada.overHTTP(t, chatOperation(writeChat, prefix+colour, "first in "+colour))
		first[colour] = firstID(t, ada, prefix+colour)
	}
	chatMatrix(prefix, first).check(t, secure(t))
}

const secretTotal = 4711.25

// shopMatrix is of an order of ada's from a shop, which is for a total of secretTotal,
// accepted, and carried by carl. Another shop has none. Names and ids begin with prefix.
func shopMatrix(prefix, orderID string) matrix {
	mine, other, carl := prefix+"a", prefix+"b", prefix+"carl"
	viewer := func(shops any) issuer.Claims { return issuer.Claims{More: map[string]any{"shops": shops}} }
	m := matrix{best: "owner", secrets: []string{"4711", carl, mine, prefix + "ada"}, viewers: map[string]issuer.Claims{
		"ada":    {},
		"bob":    {}, // another customer
		"owner":  viewer([]string{mine}),
		"rival":  viewer([]string{other}),
		"star":   viewer([]string{"*", prefix}),
		"text":   viewer(mine), // the claim is a list; all else is none
		"object": viewer(map[string]bool{mine: true}),
		"nested": viewer([]any{[]string{mine}}),
		"mixed":  viewer([]any{mine, 1}),
	}}
	names := slices.Sorted(maps.Keys(m.viewers))
	for name, c := range m.viewers {
		c.Viewer = prefix + name
		m.viewers[name] = c
	}
	everybody, nobody := []string{"*"}, []string{}
	total := func(by attempt) float64 {
		return float64(100 + 2*slices.Index(names, by.viewer) + slices.Index(transports, by.transport))
	}
	courier := func(by attempt) string { return carl + by.transport }
	of := func(name, value string) func(attempt) map[string]any {
		return func(by attempt) map[string]any {
			return map[string]any{name: value, "total": total(by), "courier": courier(by)}
		}
	}
	heard := func(field, shopID string, status shop.Status, total float64, courier string) string {
		return fmt.Sprintf(`{"data":{"%s":{"shopId":"%s","status":"%s","total":%v,"courierId":%s}}}`,
			field, shopID, status, total, cmp.Or(map[string]string{"": "null"}[courier], `"`+courier+`"`))
	}
	// The changes of ada's order, and what it was before.
	changes := func(field string) (want, also []string) {
		for _, transport := range transports {
			by := attempt{"owner", transport}
			want = append(want, heard(field, mine, shop.OnItsWay, secretTotal, courier(by)))
		}
		placed := heard(field, mine, shop.Placed, secretTotal, "")
		return want, []string{placed, heard(field, mine, shop.Accepted, secretTotal, carl)}
	}
	placed := func(field string, by ...string) (want []string) {
		for _, name := range by {
			for _, transport := range transports {
				want = append(want, heard(field, mine, shop.Placed, total(attempt{name, transport}), ""))
			}
		}
		return want
	}
	const (
		fields   = `{ shopId status total courierId }`
		order    = `query ($id: ID!) { order(orderId: $id) ` + fields + ` }`
		orders   = `query ($shop: ID!) { orders(shopId: $shop, limit: 100) { total } }`
		setOrder = `mutation ($id: ID!, $courier: ID) {
			setOrderStatus(orderId: $id, status: ON_ITS_WAY, courierId: $courier) ` + fields + ` }`
		placeOrder = `mutation ($shop: ID!, $total: Float!) { placeOrder(shopId: $shop, total: $total) ` + fields + ` }`
		follow     = `subscription ($id: ID!) { orderChanged(orderId: $id) ` + fields + ` }`
		serve      = `subscription ($shop: ID!) {
			ordersOfShop(shopId: $shop, minTotal: 50, statuses: [PLACED, ON_ITS_WAY]) ` + fields + ` }`
		position = `subscription ($courier: ID!) { courierMoved(courierId: $courier) { latitude } }`
	)
	secret := func(attempt) string { return `"total":4711.25` }
	empty := func(attempt) string { return `{"orders":[]}` }
	placedFor := func(by attempt) string { return fmt.Sprintf(`"total":%v`, total(by)) }
	nothing := func(string) (want, also []string) { return nil, nil }
	missing := prefix + "none"
	m.rows = []row{
		{query: order, variables: of("id", missing), may: nobody},
		{query: order, variables: of("id", orderID), may: []string{"ada", "owner"}, shows: secret, like: 1},
		{query: orders, variables: of("shop", mine), may: []string{"owner"}, shows: secret},
		{query: orders, variables: of("shop", other), may: []string{"rival"}, shows: empty},
		{query: setOrder, variables: of("id", missing), may: nobody},
		{query: setOrder, variables: of("id", orderID), may: []string{"owner"}, shows: courier, like: 1},
		{query: placeOrder, variables: of("shop", mine), may: everybody, shows: placedFor},
		{query: follow, variables: of("id", missing), may: nobody},
		{query: follow, variables: of("id", orderID), may: []string{"ada", "owner"}, like: 1,
			topic: func(string) string { return "order/" + orderID },
			hears: func(string) (want, also []string) {
				want, also = changes("orderChanged")
				return append(want, also[1]), also[:1] // the state at the beginning
			}},
		{query: serve, variables: of("shop", mine), may: []string{"owner"},
			topic: func(string) string { return "shop/" + mine },
			hears: func(string) (want, also []string) {
				want, also = changes("ordersOfShop")
				return append(want, placed("ordersOfShop", names...)...), also[:1]
			}},
		{query: serve, variables: of("shop", other), may: []string{"rival"},
			topic: func(string) string { return "shop/" + other }, hears: nothing},
		{query: `subscription { myOrders ` + fields + ` }`, variables: of("id", ""), may: everybody,
			topic: func(viewer string) string { return "customer/" + prefix + viewer },
			hears: func(viewer string) (want, also []string) {
				if viewer == "ada" {
					want, also = changes("myOrders")
				}
				return append(want, placed("myOrders", viewer)...), also
			}},
		{query: `subscription { visibleOrders ` + fields + ` }`, variables: of("id", ""), may: everybody,
			topic: func(viewer string) string { return "customer/" + prefix + viewer },
			more: func(viewer string) string {
				return map[string]string{"owner": "shop/" + mine, "rival": "shop/" + other}[viewer]
			},
			hears: func(viewer string) (want, also []string) {
				placedBy := []string{viewer}
				if viewer == "owner" {
					placedBy = names
				}
				if viewer == "ada" || viewer == "owner" {
					want, also = changes("visibleOrders")
				}
				return append(want, placed("visibleOrders", placedBy...)...), also
			}},
		{query: position, variables: of("id", ""), may: everybody, hears: nothing,
			topic: func(string) string { return "courier/" + courier(attempt{"", transports[1]}) }},
		{query: `subscription { couriers { __typename } }`, variables: of("id", ""), may: []string{"owner", "rival", "star"},
			topic: func(string) string { return "windowed/couriers/couriers" },
			hears: func(string) (want, also []string) { // those of other tests
				for n := range pubsub.ListedEvents {
					all := strings.Repeat(`,{"__typename":"Position"}`, n+1)[1:]
					also = append(also, `{"data":{"couriers":[`+all+`]}}`)
				}
				return nil, also
			}},
	}
	return m
}

// Customers, shops and tokens with odd claims by every operation, over HTTP and over
// WebSocket.
func TestWhoMayDoWhatInTheShop(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	market := marketIn(t, c, err)
	prefix := fresh("matrix")
	ada, owner := market.enter(prefix+"ada"), market.enter(prefix+"owner", prefix+"a")
	id := market.placeFor(ada, prefix+"a", secretTotal)
	if got := market.set(owner, id, "ACCEPTED", prefix+"carl"); strings.Contains(got, `"errors"`) {
		t.Fatal(got)
	}
	shopMatrix(prefix, id).check(t, c)
}

// An order passes to another customer, and then to another shop. Who had a right to it
// and has none any more is told so, and sees nothing of what comes.
func TestAnOrderThatPassesOn(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	a, b, prefix := fresh("shop"), fresh("shop"), fresh("viewer")
	ada, bob := m.enter(prefix+"ada"), m.enter(prefix+"bob")
	owner, rival := m.enter(prefix+"owner", a), m.enter(prefix+"rival", b)
	const (
		follow = `subscription ($id: ID!) { orderChanged(orderId: $id) { total } }`
		own    = `subscription { myOrders { total } }`
		serve  = `subscription ($shop: ID!) { ordersOfShop(shopId: $shop) { total } }`
	)
	total := func(field string, n float64) string { return fmt.Sprintf(`{"%s":{"total":%v}}`, field, n) }
	lists := map[*person]*wsclient.Subscription{
		ada: m.subscribe(ada, own, nil), owner: m.subscribe(owner, serve, map[string]any{"shop": a}),
		bob: m.subscribe(bob, own, nil), rival: m.subscribe(rival, serve, map[string]any{"shop": b}),
	}
	for _, topic := range []string{"customer/" + prefix + "ada", "customer/" + prefix + "bob", "shop/" + a, "shop/" + b} {
		m.awaitRows(topic, 1)
	}
	id := m.place(ada, a)
	m.expect(lists[ada], total("myOrders", 12.5))
	m.expect(lists[owner], total("ordersOfShop", 12.5))
	order := map[string]any{"id": id}
	following := map[*person]*wsclient.Subscription{
		ada: m.subscribe(ada, follow, order), owner: m.subscribe(owner, follow, order)}
	for _, s := range following {
		m.expect(s, total("orderChanged", 12.5))
	}
	m.awaitRows("order/"+id, 2)
	change := func(n float64, change func(*shop.Order)) {
		t.Helper()
		if _, err := m.shop.Orders.Update(within(t), func(o *shop.Order) error {
			o.Total = n
			change(o)
			return nil
		}, id); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(p *person) {
		t.Helper()
		_, err := following[p].Next(within(t))
		failed, ok := errors.AsType[*wsclient.OperationError](err)
		if !ok || !strings.Contains(string(failed.Errors), `"FORBIDDEN"`) || strings.Contains(string(failed.Errors), "4711") {
			t.Errorf("%s: the subscription ends with %v", p.name, err)
		}
		again := wsclient.Operation{Query: follow, Variables: order}
		if got := p.overSocket(t, again); !strings.Contains(got, `"FORBIDDEN"`) {
			t.Errorf("%s follows again: %s", p.name, got)
		}
	}
	change(47111, func(o *shop.Order) { o.CustomerID = prefix + "bob" })
	refused(ada)
	m.expect(following[owner], total("orderChanged", 47111)) // to a shop it is the same order
	m.expect(lists[bob], total("myOrders", 47111))
	following[bob] = m.subscribe(bob, follow, order)
	m.expect(following[bob], total("orderChanged", 47111))
	m.awaitRows("order/"+id, 2)

	change(47112, func(o *shop.Order) { o.ShopID = b })
	refused(owner)
	m.expect(following[bob], total("orderChanged", 47112))
	m.expect(lists[rival], total("ordersOfShop", 47112))
	if got := m.set(owner, id, "CANCELLED", ""); !strings.Contains(got, `"FORBIDDEN"`) {
		t.Errorf("the shop that had the order cancels it: %s", got)
	}
	for p, want := range map[*person][]string{ada: nil, owner: {total("ordersOfShop", 47111)}} { // and not 47112
		m.expect(lists[p], want...)
		m.place(p, a) // the next event of both lists
		field := map[*person]string{ada: "myOrders", owner: "ordersOfShop"}[p]
		m.expect(lists[p], total(field, 12.5))
	}
}

// sign returns a token with the claims.
func sign(t *testing.T, c *cloud.Cloud, claims issuer.Claims) string {
	t.Helper()
	signed, err := c.Issuer.Token(claims)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// enter connects a viewer with the claims. The payload of connection_init also has the
// other members.
func enter(t *testing.T, c *cloud.Cloud, claims issuer.Claims, others map[string]any) *person {
	t.Helper()
	p := &person{cloud: c, name: claims.Viewer, token: sign(t, c, claims)}
	init := map[string]any{"headers": map[string]string{"Authorization": "Bearer " + p.token}}
	maps.Copy(init, others)
	var err error
	if p.client, err = wsclient.Dial(within(t), c.WSURL, wsclient.Options{Init: init}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Close)
	return p
}
