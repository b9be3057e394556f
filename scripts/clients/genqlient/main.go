// Genqlient listens to a chat with Khan's genqlient, and resumes after each loss of
// the connection:
//
//	genqlient HTTP_URL WS_URL CHAT_ID
//
// It prints {"next": message} for each message. A line of input completes the
// subscription; the end of the input ends the program.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/gorilla/websocket"
)

//go:generate go tool genqlient

// dialer opens sockets with gorilla/websocket, and keeps the last for closing.
type dialer struct{ conn *websocket.Conn }

func (d *dialer) DialContext(ctx context.Context, url string, header http.Header) (graphql.WSConn, error) {
	var err error
	d.conn, _, err = websocket.DefaultDialer.DialContext(ctx, url, header)
	return d.conn, err
}

// listener follows a chat, and passes on each message once.
type listener struct {
	url, chatID string
	newest      string
	seen        map[string]bool
	show        func(NewMessageNewMessage)
}

// run subscribes again after each loss of the connection, until ctx is done.
func (l *listener) run(ctx context.Context) {
	for attempts := 0; ctx.Err() == nil; attempts = min(attempts+1, 5) {
		before := l.newest
		if err := l.follow(ctx); err != nil {
			log.Print(err)
		}
		if l.newest != before {
			attempts = 0
		}
		pause := time.Duration((0.5 + rand.Float64()/2) * float64(time.Second<<attempts))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// follow subscribes after the newest message until the connection is lost.
func (l *listener) follow(ctx context.Context) error {
	var d dialer
	client := graphql.NewClientUsingWebSocket(l.url, &d)
	lost, err := client.Start(ctx)
	if err != nil {
		return err
	}
	defer d.conn.Close() // which client.Close leaves open
	events, id, err := NewMessage(ctx, client, l.chatID, l.newest)
	if err != nil {
		return err
	}
	for {
		select {
		case event, ok := <-events:
			if !ok {
				return errors.New("the server has completed the subscription")
			}
			if event.Errors != nil {
				return event.Errors
			}
			l.take(event.Data.NewMessage)
		case err := <-lost:
			return err
		case <-ctx.Done():
			return client.Unsubscribe(id)
		}
	}
}

func (l *listener) take(message NewMessageNewMessage) {
	if l.seen[message.Id] {
		return
	}
	l.seen[message.Id] = true
	l.newest = max(l.newest, message.Id)
	l.show(message)
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	input := bufio.NewReader(os.Stdin)
	go func() {
		_, _ = input.ReadString('\n')
		cancel()
	}()
	out := json.NewEncoder(os.Stdout)
	l := &listener{url: os.Args[2], chatID: os.Args[3], newest: strings.Repeat("0", 26), seen: map[string]bool{},
		show: func(m NewMessageNewMessage) { _ = out.Encode(map[string]any{"next": m}) }}
	l.run(ctx)
	_, _ = io.Copy(io.Discard, input)
}
