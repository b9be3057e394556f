package e2e

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
)

// The audits of npm graphql-http, against the URL that clients use.
func TestAllAuditsOfGraphQLOverHTTPPass(t *testing.T) {
	t.Parallel()
	needClients(t)
	audit := exec.CommandContext(within(t), "node", "audit.mjs", local.HTTPURL)
	audit.Dir = "../clients"
	output, err := audit.CombinedOutput()
	if err != nil || string(output) != "61 passed, 0 failed\n" {
		t.Errorf("%v\n%s", err, output)
	}
}

// Operations that are cut, doubled and mixed at random, over HTTP and WebSocket:
// whatever is wrong with them, the errors are well-formed.
func TestErrorsAreWellFormedWhateverTheOperation(t *testing.T) {
	t.Parallel()
	const seed, rounds = 4, 200
	random := rand.New(rand.NewPCG(seed, seed))
	documents := []string{
		`query Q($c: ID!, $n: Int = 3) { getNewMessages(chatId: $c, limit: $n) { id content ...F } } fragment F on Message { senderName }`,
		`mutation M($c: ID!) { a: postMessage(chatId: $c, content: "", senderName: "x") { id } b: __typename }`,
		`subscription S($c: ID!) { newMessage(chatId: $c) { id createdAt @skip(if: true) } }`,
		`{ __schema { queryType { name } } x: getNewMessages(chatId: "", limit: 9999) { id } }`,
	}
	variables := []string{`{}`, `{"c":null}`, `{"c":""}`, `{"c":"errors","n":0}`, `{"c":["x"],"n":1.5}`, `{"c":{"d":1}}`, `{"c":12,"n":"x"}`}
	raw := dialRaw(t, local.WSURL)
	send(t, raw, `{"type":"connection_init"}`)
	receive(t, raw)
	for i := range rounds {
		document := mutate(random, documents)
		body := fmt.Sprintf(`{"query":%s,"variables":%s}`, encode(t, document), variables[random.IntN(len(variables))])
		_, answer := request(t, body)
		if err := checkResult(answer); err != nil {
			t.Errorf("%s over HTTP: %v in %s", body, err, answer)
		}
		id := fmt.Sprint(i)
		send(t, raw, `{"id":"`+id+`","type":"subscribe","payload":`+body+`}`, complete(id))
		answersBehind(t, raw, 1) // receive checks the frames before its answer
	}
}

// mutate returns one of the documents, changed in about half of the cases.
func mutate(random *rand.Rand, documents []string) string {
	pick := func() string { return documents[random.IntN(len(documents))] }
	document := pick()
	from := random.IntN(len(document))
	to := from + random.IntN(len(document)-from)
	switch random.IntN(4) {
	case 0:
		return document[:from] + document[to:]
	case 1:
		return document[:to] + document[from:]
	case 2:
		return document + pick()
	}
	return document
}
