package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"subwire/scripts/internal/console"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/subwire"
)

// What the console sends and who listens for it: mutations and subscribers, as anybody's.

// example is the product's mutation with the subscription that gets what it causes: those
// for people, or else the canary's.
func (d *deck) example() subwire.Example {
	if d.app == nil {
		return subwire.Example{}
	}
	e := d.app.Try
	if e.Document == "" || e.Subscribe == "" && d.app.Canary.Subscribe != "" {
		e = subwire.Example{Document: d.app.Canary.Post, Subscribe: d.app.Canary.Subscribe, Claims: d.app.Canary.Claims}
	}
	return e
}

// token is of a viewer of the console; "" if viewers need none.
func (d *deck) token(viewer string) (string, error) {
	if d.Issuer == nil {
		return "", nil
	}
	claims, err := issuer.More(d.example().Claims)
	if err != nil {
		return "", err
	}
	return d.Issuer.Token(issuer.Claims{Viewer: viewer, Name: "Console", Read: []string{"*"}, Write: []string{"*"},
		More: claims})
}

// post sends a mutation. One is waited for, more are not.
func (d *deck) post(ctx context.Context, p console.PostRequest) error {
	if p.Document == "" {
		p.Document = d.example().Document
	}
	switch {
	case p.Document == "":
		return console.Refused("the product has no example, so say which mutation")
	case p.Times < 0 || p.Times > console.MostPosts:
		return console.Refused(fmt.Sprintf("between 1 and %d times are possible", console.MostPosts))
	case p.PerSecond != 0 && (p.PerSecond < 1 || p.PerSecond > console.MostPerSecond):
		return console.Refused(fmt.Sprintf("between 1 and %d per second are possible", console.MostPerSecond))
	case p.Times <= 1:
		return d.send(ctx, p.Document, "")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.posting {
		return console.Refused("the posts before are still being sent")
	}
	d.posting = true
	d.running.Go(func() {
		d.sendMany(p)
		d.mu.Lock()
		d.posting = false
		d.mu.Unlock()
	})
	return nil
}

// sendMany keeps the rate, with as many posts at once as that takes.
func (d *deck) sendMany(p console.PostRequest) {
	var sending sync.WaitGroup
	defer sending.Wait()
	slots := make(chan struct{}, 16)
	if p.PerSecond == 0 {
		slots = make(chan struct{}, 1)
	}
	begun := time.Now()
	for i := range p.Times {
		if p.PerSecond > 0 {
			at := begun.Add(time.Duration(float64(i) / p.PerSecond * float64(time.Second)))
			select {
			case <-time.After(time.Until(at)):
			case <-d.run.Done():
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-d.run.Done():
			return
		}
		sending.Go(func() {
			_ = d.send(d.run, p.Document, "") // the page shows what arrives
			<-slots
		})
	}
}

// poster sends the console's requests.
var poster = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// send sends a request to the HTTP API, as anybody would.
func (d *deck) send(ctx context.Context, document, variables string) error {
	body := map[string]any{"query": document}
	if variables != "" {
		body["variables"] = json.RawMessage(variables)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.HTTPURL, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	token, err := d.token("console")
	if err != nil {
		return err
	}
	if r.Header.Set("Content-Type", "application/json"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := poster.Do(r)
	if err != nil {
		return errors.New("the HTTP API did not answer")
	}
	defer resp.Body.Close()
	var answer struct{ Errors []struct{ Message string } }
	switch err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); {
	case err == nil && len(answer.Errors) > 0:
		return console.Refused(answer.Errors[0].Message)
	case err != nil || resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the HTTP API answered %s", resp.Status)
	}
	return nil
}

// subscribers are the clients that the console opened.
type subscribers struct {
	mu    sync.Mutex
	open  map[*wsclient.Client]bool
	all   int // that open or are open
	begun int // since all were closed
	run   context.Context
	stop  context.CancelFunc // of run; nil while there are none
}

const (
	mostSubscribers = 2000
	opening         = 16 // at once
	perViewer       = 50 // subscribers of one viewer, as a viewer has a quota
)

func (s *subscribers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// subscribe opens clients that listen to the product's example, or closes all.
func (d *deck) subscribe(_ context.Context, add int) (int, error) {
	s := &d.subscribers
	s.mu.Lock()
	defer s.mu.Unlock()
	if add == 0 {
		if s.stop != nil {
			s.stop()
			s.stop, s.begun = nil, 0
		}
		return 0, nil
	}
	if add < 0 || add > mostSubscribers-s.all {
		return s.all, console.Refused(fmt.Sprintf("up to %d subscribers are possible", mostSubscribers))
	}
	if s.stop == nil {
		s.run, s.stop = context.WithCancel(d.run)
	}
	if s.open == nil {
		s.open = map[*wsclient.Client]bool{}
	}
	ctx, first := s.run, s.begun
	s.begun, s.all = s.begun+add, s.all+add
	slots := make(chan struct{}, opening)
	d.running.Go(func() {
		for i := range add {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				s.left(add - i)
				return
			}
			d.running.Go(func() {
				defer s.left(1)
				listen := d.listen(ctx, fmt.Sprintf("subscriber-%d", (first+i)/perViewer))
				<-slots
				if listen != nil {
					listen()
				}
			})
		}
	})
	return s.all, nil
}

// left gives back the places of n subscribers that have closed or will never open.
func (s *subscribers) left(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
}

// listen opens one subscriber. What it returns listens until the client or ctx ends.
func (d *deck) listen(ctx context.Context, viewer string) func() {
	token, err := d.token(viewer)
	if err != nil {
		return nil
	}
	o := wsclient.Options{Header: http.Header{"User-Agent": {"Subwire console"}}, KeepAlive: 5 * time.Minute}
	if token != "" {
		o.Init = map[string]string{"Authorization": "Bearer " + token}
	}
	client, err := wsclient.Dial(ctx, d.WSURL, o)
	if err != nil {
		return nil // the page shows how many there are
	}
	operation, err := client.Subscribe(ctx, wsclient.Operation{Query: d.example().Subscribe})
	if err != nil {
		client.Close()
		return nil
	}
	s := &d.subscribers
	s.mu.Lock()
	s.open[client] = true
	s.mu.Unlock()
	return func() {
		for err == nil {
			_, err = operation.Next(ctx)
		}
		client.Close()
		s.mu.Lock()
		delete(s.open, client)
		s.mu.Unlock()
	}
}
