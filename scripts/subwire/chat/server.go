package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

const (
	recent = `query Recent($chatId: ID!) { getNewMessages(chatId: $chatId) { id } }`

	newMessage = `subscription NewMessage($chatId: ID!, $after: ID) {
  newMessage(chatId: $chatId, after: $after) { id content createdAt senderName } }`

	postMessage = `mutation PostMessage($chatId: ID!, $content: String!, $senderName: String!) {
  postMessage(chatId: $chatId, content: $content, senderName: $senderName) { id content createdAt senderName } }`

	// keepAlive is well within the gateway's idle limit of 10 minutes.
	keepAlive = 2 * time.Minute
)

// lowestID comes before every message.
var lowestID = strings.Repeat("0", 26)

// server is where to connect, and as whom.
type server struct{ http, ws, token string } // the token may be ""

// find asks the deployment where its sockets are. The URL may be that of the page or
// of GraphQL.
func find(ctx context.Context, url, token string) (server, error) {
	page := strings.TrimSuffix(strings.TrimSuffix(url, topology.GraphQLPath), "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page+topology.ConfigPath, nil)
	if err != nil {
		return server{}, err
	}
	body, err := send(request)
	if err != nil {
		return server{}, err
	}
	var config struct{ WebSocketURL string }
	if err := json.Unmarshal(body, &config); err != nil || config.WebSocketURL == "" {
		return server{}, fmt.Errorf("%s does not say where its sockets are", request.URL)
	}
	return server{page + topology.GraphQLPath, config.WebSocketURL, token}, nil
}

// authorization is the header of a request, or the payload of connection_init.
func (s server) authorization() map[string]string {
	if s.token == "" {
		return nil
	}
	return map[string]string{"Authorization": "Bearer " + s.token}
}

// recent returns the ids of the chat's last messages, and the newest of them.
func (s server) recent(ctx context.Context, chat string) (known map[string]bool, newest string, err error) {
	answer, err := s.do(ctx, recent, "Recent", map[string]string{"chatId": chat})
	if err != nil {
		return nil, "", err
	}
	var result struct {
		Data struct{ GetNewMessages []struct{ ID string } }
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, "", fmt.Errorf("decode answer: %w", err)
	}
	known, newest = map[string]bool{}, lowestID
	for _, message := range result.Data.GetNewMessages { // oldest first
		newest = message.ID
		known[newest] = true
	}
	return known, newest, nil
}

func (s server) subscribe(ctx context.Context, variables map[string]string) (
	_ *wsclient.Subscription, closeSocket func(), err error) {
	options := wsclient.Options{KeepAlive: keepAlive}
	if s.token != "" {
		options.Init = s.authorization()
	}
	client, err := wsclient.Dial(ctx, s.ws, options)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", s.ws, err)
	}
	operation := wsclient.Operation{Query: newMessage, Name: "NewMessage", Variables: variables}
	events, err := client.Subscribe(ctx, operation)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return events, client.Close, nil
}

// post writes a message and prints the answer.
func (s server) post(ctx context.Context, chat, text, name string, out io.Writer) error {
	variables := map[string]string{"chatId": chat, "content": text, "senderName": name}
	answer, err := s.do(ctx, postMessage, "PostMessage", variables)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, plain.Lines(string(answer)))
	return err
}

// do executes an operation over HTTP. An answer with errors is an error.
func (s server) do(ctx context.Context, document, name string, variables map[string]string) (answer []byte, err error) {
	body, err := json.Marshal(map[string]any{"query": document, "operationName": name, "variables": variables})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.http, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range s.authorization() {
		request.Header.Set(name, value)
	}
	answer, err = send(request)
	if err != nil {
		return nil, err
	}
	var result struct{ Errors []any }
	if err := json.Unmarshal(answer, &result); err != nil || len(result.Errors) > 0 {
		return nil, fmt.Errorf("the server answered %s", answer)
	}
	return answer, nil
}

// send returns the body of a successful answer.
func send(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server answered %s: %s", response.Status, body)
	}
	return body, err
}
