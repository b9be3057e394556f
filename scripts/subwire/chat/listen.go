package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/transportws"
)

// Pauses before tries to connect again: each is twice the one before.
const firstPause, longestPause = time.Second, 30 * time.Second

// listener prints a chat's new messages. Its fields say what it has, so that it can go on after
// a cut.
type listener struct {
	server
	chat   string
	known  map[string]bool // ids of messages that are not printed again; a replay repeats some
	newest string
	heard  bool // whether it has ever listened
	out    io.Writer
	errs   io.Writer
}

// listen prints each execution result as it arrives, one per line, until ctx ends. It
// says on errs when it listens: whatever is posted from then on arrives. As a
// subscribe is not acknowledged, it subscribes to what follows the newest message,
// and drops the known messages that come again. It connects again when the connection is lost,
// first after the pause, unless that cannot help.
func (s server) listen(ctx context.Context, chat string, first time.Duration, out, errs io.Writer) error {
	known, newest, err := s.recent(ctx, chat)
	if err != nil {
		return err
	}
	l := &listener{server: s, chat: chat, known: known, newest: newest, out: out, errs: errs}
	for pause := first; ; pause = min(2*pause, longestPause) {
		connected, err := l.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !l.heard || !canHelp(err):
			return err
		case connected:
			pause = first
		}
		fmt.Fprintf(errs, "not connected: %s; trying again in %s\n", plain.Lines(err.Error()), pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// follow prints what comes over one connection until that ends. It says whether there was one.
func (l *listener) follow(ctx context.Context) (connected bool, err error) {
	events, closeSocket, err := l.subscribe(ctx, map[string]string{"chatId": l.chat, "after": l.newest})
	if err != nil {
		return false, err
	}
	defer closeSocket()
	l.heard = true
	fmt.Fprintf(l.errs, "listening to %s\n", plain.Text(l.chat))
	for {
		result, err := events.Next(ctx)
		if errors.Is(err, io.EOF) {
			return true, errors.New("the server has completed the subscription")
		}
		if err != nil {
			return true, err
		}
		l.print(result)
	}
}

// print prints a result unless its message is known.
func (l *listener) print(result []byte) {
	var event struct {
		Data struct{ NewMessage struct{ ID string } }
	}
	if err := json.Unmarshal(result, &event); err == nil && event.Data.NewMessage.ID != "" {
		id := event.Data.NewMessage.ID
		if l.known[id] {
			return
		}
		l.known[id], l.newest = true, max(l.newest, id)
	}
	fmt.Fprintln(l.out, plain.Lines(string(result)))
}

// canHelp reports whether a new connection may do better than the one that ended with err. One
// with the same token will not be let in where that token was refused.
func canHelp(err error) bool {
	if closed, ok := errors.AsType[*wsclient.ClosedError](err); ok {
		why := transportws.CloseError{Code: closed.Code, Reason: closed.Reason}
		return why.Code < transportws.CodeBadRequest || why.Retry() && why != transportws.TokenExpired()
	}
	if refused, ok := errors.AsType[*wsclient.RefusedError](err); ok {
		return refused.Status == http.StatusTooManyRequests || refused.Status >= http.StatusInternalServerError
	}
	if failed, ok := errors.AsType[*wsclient.OperationError](err); ok {
		return bytes.Contains(failed.Errors, []byte(`"UNAVAILABLE"`))
	}
	return true
}
