// Chat tries Subwire from the command line:
//
//	go run ./scripts/chat -listen lobby
//	go run ./scripts/chat -post lobby -text 'hello' -name Ada
//	go run ./scripts/chat -latency 200
//
// It talks to make run's addresses, or to the deployment of -local or -stack.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/wsclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "chat:", plain.Lines(err.Error()))
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	listen := flags.String("listen", "", "print new messages of `CHAT` until Ctrl-C")
	post := flags.String("post", "", "post a message to `CHAT`")
	latency := flags.Int("latency", 0, "measure `N` messages, one after the other, from mutation to next")
	text := flags.String("text", "", "what to post")
	token := flags.String("token", "", "`TOKEN` of the viewer, for a deployment with AUTH=jwt")
	name := flags.String("name", "someone", "sender's name of the post")
	httpURL := flags.String("http", "http://127.0.0.1:4000/graphql", "`URL` of GraphQL over HTTP")
	wsURL := flags.String("ws", "ws://127.0.0.1:4001/local", "`URL` of the WebSocket API")
	where := deployment.Register(flags) // its URLs, if it is given, go before these
	if err := flags.Parse(args); err != nil {
		return err
	}
	if where.Given() {
		d, err := where.Resolve(ctx)
		if err != nil {
			return err
		}
		*httpURL, *wsURL = d.HTTPURL, d.WSURL
	}
	s := server{*httpURL, *wsURL, *token}
	switch {
	case *listen != "":
		return s.listenTo(ctx, *listen, out)
	case *post != "":
		answer, err := s.postTo(ctx, *post, *text, *name)
		fmt.Fprintln(out, plain.Lines(answer))
		return err
	case *latency > 0:
		return s.measure(ctx, *latency, out)
	}
	return errors.New("say -listen CHAT, -post CHAT -text TEXT, or -latency N")
}

const (
	newMessage = `subscription NewMessage($chatId: ID!) { newMessage(chatId: $chatId) { id content createdAt senderName } }`

	postMessage = `mutation PostMessage($chatId: ID!, $content: String!, $senderName: String!) {
  postMessage(chatId: $chatId, content: $content, senderName: $senderName) { id content createdAt senderName } }`

	// keepAlive is well within the gateway's idle limit of 10 minutes.
	keepAlive = 2 * time.Minute
)

// server is where to, and as whom.
type server struct{ http, ws, token string } // the token may be ""

// authorization is the header of a request, or the payload of connection_init.
func (s server) authorization() map[string]string {
	if s.token == "" {
		return nil
	}
	return map[string]string{"Authorization": "Bearer " + s.token}
}

// listenTo prints each execution result as it comes, one line each.
func (s server) listenTo(ctx context.Context, chat string, out io.Writer) error {
	events, closeSocket, err := s.subscribe(ctx, chat)
	if err != nil {
		return err
	}
	defer closeSocket()
	for {
		result, err := events.Next(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, plain.Lines(string(result)))
	}
}

func (s server) subscribe(ctx context.Context, chat string) (_ *wsclient.Subscription, closeSocket func(), err error) {
	options := wsclient.Options{KeepAlive: keepAlive}
	if s.token != "" {
		options.Init = s.authorization()
	}
	client, err := wsclient.Dial(ctx, s.ws, options)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", s.ws, err)
	}
	events, err := client.Subscribe(ctx, wsclient.Operation{Query: newMessage, Name: "NewMessage", Variables: map[string]string{"chatId": chat}})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return events, client.Close, nil
}

// postTo writes a message and returns the answer.
func (s server) postTo(ctx context.Context, chat, text, name string) (string, error) {
	body, err := json.Marshal(map[string]any{"query": postMessage, "operationName": "PostMessage",
		"variables": map[string]string{"chatId": chat, "content": text, "senderName": name}})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.http, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range s.authorization() {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server answered %s", response.Status)
	}
	return string(answer), err
}
