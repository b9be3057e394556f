package fanout

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
)

var began = time.UnixMilli(1_790_000_000_000)

// person is a row of somebody who began that many milliseconds after the first.
func person(who string, ms int) *pubsub.Subscription {
	return &pubsub.Subscription{ConnectionID: who, OperationID: "1", Topic: pubsub.PresencePrefix + "a", Who: who,
		At: began.Add(time.Duration(ms) * time.Millisecond), Viewer: pubsub.Viewer{ID: who}}
}

func crowd(n int) (rows []pubsub.Subscription) {
	for i := range n {
		rows = append(rows, *person(fmt.Sprint("p", i), i))
	}
	return rows
}

func gone(p pubsub.Subscription) pubsub.Subscription {
	p.Left = began.Add(time.Hour)
	return p
}

func came(p pubsub.Subscription) pubsub.PresenceChange { return pubsub.PresenceChange{Now: &p} }

// left is the change in which a row's grace begins.
func left(p pubsub.Subscription) pubsub.PresenceChange {
	ghost := gone(p)
	return pubsub.PresenceChange{Before: &p, Now: &ghost}
}

// deleted is the change in which it ends.
func deleted(p pubsub.Subscription) pubsub.PresenceChange {
	ghost := gone(p)
	return pubsub.PresenceChange{Before: &ghost}
}

func TestWhoHearsHowManyArePresent(t *testing.T) {
	t.Parallel()
	const most = pubsub.MaxPresent
	ada, bob, other := *person("ada", 0), *person("bob", 1), *person("other", 0)
	second := *person("page", 2)
	second.Who = "ada"
	many := crowd(most + 50)
	for name, tc := range map[string]struct {
		changes []pubsub.PresenceChange
		rows    []pubsub.Subscription
		want    string // "" if nobody hears
		told    int    // how many
	}{
		"One":              {[]pubsub.PresenceChange{came(ada)}, []pubsub.Subscription{ada}, `{"count":1,"more":false}`, 1},
		"Two":              {[]pubsub.PresenceChange{came(bob)}, []pubsub.Subscription{ada, bob}, `{"count":2,"more":false}`, 2},
		"ASecondPage":      {[]pubsub.PresenceChange{came(second)}, []pubsub.Subscription{ada, second}, `{"count":1,"more":false}`, 2},
		"GraceBegins":      {[]pubsub.PresenceChange{left(bob)}, []pubsub.Subscription{ada, gone(bob)}, "", 0},
		"GraceRuns":        {[]pubsub.PresenceChange{came(other)}, []pubsub.Subscription{ada, gone(bob), other}, `{"count":3,"more":false}`, 2},
		"GraceEnds":        {[]pubsub.PresenceChange{deleted(bob)}, []pubsub.Subscription{ada}, `{"count":1,"more":false}`, 1},
		"BackInTheGrace":   {[]pubsub.PresenceChange{came(second)}, []pubsub.Subscription{gone(ada), second}, `{"count":1,"more":false}`, 1},
		"TheLastIsGone":    {[]pubsub.PresenceChange{deleted(bob)}, nil, `{"count":0,"more":false}`, 0},
		"Full":             {[]pubsub.PresenceChange{came(many[most-1])}, many[:most], `{"count":100,"more":false}`, most},
		"PassesTheBound":   {[]pubsub.PresenceChange{came(many[most])}, many[:most+1], `{"count":100,"more":true}`, most + 1},
		"BeyondTheBound":   {[]pubsub.PresenceChange{came(many[most+1])}, many[:most+2], `{"count":100,"more":true}`, 1},
		"LeavesBeyond":     {[]pubsub.PresenceChange{deleted(ada)}, many, `{"count":100,"more":true}`, 0},
		"BackToTheBound":   {[]pubsub.PresenceChange{deleted(ada)}, many[:most], `{"count":100,"more":false}`, most},
		"ManyAtOnce":       {[]pubsub.PresenceChange{came(many[80]), came(many[120])}, many, `{"count":100,"more":true}`, len(many)},
		"CameAndLeft":      {[]pubsub.PresenceChange{came(many[130]), left(many[130]), came(many[131])}, many, `{"count":100,"more":true}`, 1},
		"CameTwiceAtOnce":  {[]pubsub.PresenceChange{came(many[130]), left(many[130]), came(many[130])}, many, `{"count":100,"more":true}`, 1},
		"ExpiredUnnoticed": {[]pubsub.PresenceChange{{Before: &bob}}, []pubsub.Subscription{ada}, `{"count":1,"more":false}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, told, err := Presence(tc.changes, Each(tc.rows))
			if err != nil || string(root) != tc.want || len(told) != tc.told {
				t.Errorf("%d are told %s, %v; want %d, %s", len(told), root, err, tc.told, tc.want)
			}
			for _, s := range told {
				if !s.Left.IsZero() || s.Viewer != (pubsub.Viewer{}) {
					t.Errorf("%+v is told", s)
				}
			}
		})
	}
}

// What one change costs is bounded, however many are there and whoever they are.
func TestACrowdIsNotReadWhole(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for name, tc := range map[string]struct {
		who  func(i int) string
		most int // rows that are read
	}{
		"People":         {func(i int) string { return fmt.Sprint(i) }, pubsub.MaxPresent + 1},
		"OneOfManyPages": {func(int) string { return "ada" }, pubsub.MaxPresentRows},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := 0
			rows := func(yield func(pubsub.Subscription, error) bool) {
				for i := range n {
					s := *person(fmt.Sprint("c", i), 0)
					s.Who = tc.who(i)
					if read++; !yield(s, nil) {
						return
					}
				}
			}
			_, told, err := Presence([]pubsub.PresenceChange{came(*person("new", 1))}, rows)
			if err != nil || read > tc.most || len(told) != 1 || told[0].Who != "new" {
				t.Errorf("read %d rows, told %d, %v", read, len(told), err)
			}
		})
	}
}

func TestWhatCannotBeCounted(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	rows := func(bad error) iter.Seq2[pubsub.Subscription, error] {
		return func(yield func(pubsub.Subscription, error) bool) {
			if yield(*person("ada", 0), nil) && yield(pubsub.Subscription{}, bad) {
				yield(*person("bob", 0), nil)
			}
		}
	}
	changes := []pubsub.PresenceChange{came(*person("ada", 0))}
	root, told, err := Presence(changes, rows(fmt.Errorf("row: %w", pubsub.ErrUndecodableRow)))
	if diff := cmp.Diff(`{"count":2,"more":false}`, string(root)); diff != "" || len(told) != 2 || err != nil {
		t.Errorf("past a bad row: %d told, %v\n%s", len(told), err, diff)
	}
	if _, told, err := Presence(changes, rows(broken)); !errors.Is(err, broken) || told != nil {
		t.Errorf("without its rows: %d told, %v", len(told), err)
	}
}
