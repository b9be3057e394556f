package dynamo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// A meeting is one call that others cross, between two of its requests or after the
// last.
type meeting struct {
	s   *Store
	id  string              // of the connection, and the beginning of its topics
	sub pubsub.Subscription // operation "1"
	at  time.Time           // when it began
}

func (m meeting) put(ctx context.Context, s *Store) error {
	return s.PutSubscription(ctx, m.sub, pubsub.Operation{}, pubsub.Sent{At: m.at}, 9)
}

func (m meeting) activate(ctx context.Context, s *Store) error {
	return s.ActivateSubscription(ctx, m.sub, pubsub.Operation{}, pubsub.Sent{At: m.at})
}

func (m meeting) complete(ctx context.Context, s *Store) error {
	_, err := s.DeleteSubscription(ctx, m.id, "1", pubsub.Sent{At: m.at})
	return err
}

// again completes the operation and puts another one with the same id.
func (m meeting) again(topic string, after time.Duration) func(context.Context, *Store) error {
	return func(ctx context.Context, s *Store) error {
		if m.sub.Topic != m.id+topic {
			m.sub.Topic, m.sub.Union = m.id+topic, nil
		}
		m.at = m.at.Add(after)
		if err := m.complete(ctx, s); err != nil {
			return err
		}
		if err := m.put(ctx, s); err != nil && !errors.Is(err, pubsub.ErrCompleted) {
			return err // a complete that was handled first has overtaken it
		}
		return nil
	}
}

// older is the previous release: entry and row in one transaction, a row without a
// time, an entry without a token.
func (m meeting) older(ctx context.Context, s *Store) error {
	row := attributes{"operationKey": text("older"), "ttl": number(m.sub.Expires.Unix())}
	maps.Copy(row, rowKey(m.id+"/t", m.id, "1"))
	entry := attributes{"topic": text(m.id + "/t"), "at": number(m.at.UnixMilli())}
	_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{TableName: &s.tables.Connections, Key: connectionKey(m.id),
			UpdateExpression:          aws.String("SET operations.#id = :running REMOVE completed.#id"),
			ConditionExpression:       aws.String("attribute_exists(id) AND attribute_not_exists(operations.#id)"),
			ExpressionAttributeNames:  map[string]string{"#id": "1"},
			ExpressionAttributeValues: attributes{":running": &types.AttributeValueMemberM{Value: entry}}}},
		{Put: &types.Put{TableName: &s.tables.Subscriptions, Item: row}},
	}})
	return err
}

// olderComplete ends the operation as the previous release does.
func (m meeting) olderComplete(ctx context.Context, s *Store) error {
	_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{TableName: &s.tables.Connections, Key: connectionKey(m.id),
			UpdateExpression:          aws.String("REMOVE operations.#id"),
			ConditionExpression:       aws.String("operations.#id.#at = :at AND operations.#id.topic = :topic"),
			ExpressionAttributeNames:  map[string]string{"#id": "1", "#at": "at"},
			ExpressionAttributeValues: attributes{":at": number(m.at.UnixMilli()), ":topic": text(m.id + "/t")}}},
		{Delete: &types.Delete{TableName: &s.tables.Subscriptions, Key: rowKey(m.id+"/t", m.id, "1")}},
	}})
	if cancelled := (*types.TransactionCanceledException)(nil); errors.As(err, &cancelled) {
		return nil // it reads again, and finds nothing
	}
	return err
}

func (m meeting) olderAgain(ctx context.Context, s *Store) error {
	if err := m.complete(ctx, s); err != nil {
		return err
	}
	m.at = m.at.Add(2 * time.Millisecond)
	return m.older(ctx, s)
}

// prepare puts what the first call must find, and makes the operation a union if that is
// what the call is about.
func (m *meeting) prepare(t *testing.T, first string) {
	t.Helper()
	if strings.HasSuffix(first, "a union") {
		m.sub.Union = []string{m.id + "/t", m.id + "/u"}
	}
	if m.s.LargeTopics {
		for _, topic := range []string{"/t", "/other", "/u"} {
			if err := markedNow(t.Context(), m.s, m.id+topic); err != nil {
				t.Fatal(err)
			}
		}
	}
	errs := []error{m.s.PutConnection(t.Context(), pubsub.Connection{ID: m.id, Acknowledged: true, Expires: m.sub.Expires})}
	caught := *m
	caught.sub.Topic = ""
	switch first {
	case "activate", "complete caught up":
		errs = append(errs, caught.put(t.Context(), m.s))
	case "complete", "complete a union":
		errs = append(errs, m.put(t.Context(), m.s))
	case "complete an older's":
		errs = append(errs, m.older(t.Context(), m.s))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// together returns an error unless the connection's operations and the topics' rows
// match one to one.
func (m meeting) together(t *testing.T) error {
	out, err := m.s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &m.s.tables.Connections, Key: connectionKey(m.id)})
	if err != nil {
		return err
	}
	item, err := decodeItem(out.Item)
	if err != nil {
		return err
	}
	var want, got []string
	for id, running := range item.Operations {
		for _, topic := range running.topics() {
			want = append(want, fmt.Sprint(running.partition(topic, m.id), id, running.By))
		}
	}
	for _, topic := range []string{m.id + "/t", m.id + "/other", m.id + "/u", partOf(m.id+"/t", m.id),
		partOf(m.id+"/other", m.id), partOf(m.id+"/u", m.id)} {
		rows, err := m.s.client.Query(t.Context(), &dynamodb.QueryInput{TableName: &m.s.tables.Subscriptions,
			KeyConditionExpression:    aws.String("topic = :topic AND subscriber > :marks"),
			ExpressionAttributeValues: attributes{":topic": text(topic), ":marks": text("0")}})
		if err != nil {
			return err
		}
		for _, item := range rows.Items {
			var row subscriptionItem
			if err := attributevalue.UnmarshalMap(item, &row); err != nil {
				return err
			}
			if strings.HasPrefix(row.By, "at ") { // an older release's operation that this one activated
				row.By = ""
			}
			got = append(got, fmt.Sprint(row.Topic, "1", row.By))
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		return fmt.Errorf("rows %q of operations %q", got, want)
	}
	return nil
}

// crossings are what others may do to the operation or its connection.
func crossings(m meeting) map[string]func(context.Context, *Store) error {
	return map[string]func(context.Context, *Store) error{
		"nothing":                 func(context.Context, *Store) error { return nil },
		"complete":                m.complete,
		"again":                   m.again("/t", 2*time.Millisecond),
		"again at the same time":  m.again("/t", 0),
		"again with another":      m.again("/other", 2*time.Millisecond),
		"another, at once":        m.again("/other", 0),
		"again with one":          m.again("/u", 2*time.Millisecond),
		"deleted":                 func(ctx context.Context, s *Store) error { return s.DeleteConnection(ctx, m.id) },
		"completed by an older":   m.olderComplete,
		"again by an older":       m.olderAgain,
		"activated":               func(ctx context.Context, s *Store) error { _ = m.activate(ctx, s); return nil },
		"activated and completed": func(ctx context.Context, s *Store) error { _ = m.activate(ctx, s); return m.complete(ctx, s) },
	}
}

// cross lets the other thing happen before the first call's request of that number.
func cross(t *testing.T, s *Store, first, other string, step int) {
	m := meeting{s: s, id: fmt.Sprintf("%s-%s-%d", first, other, step), at: time.UnixMilli(1_790_000_000_123)}
	m.sub = pubsub.Subscription{ConnectionID: m.id, OperationID: "1", Topic: m.id + "/t", OperationKey: "k",
		Expires: time.Now().Add(time.Hour)}
	m.prepare(t, first)
	action, _, _ := strings.Cut(first, " ")
	call := map[string]func(context.Context, *Store) error{"put": m.put, "activate": m.activate, "complete": m.complete}[action]
	requests := 0
	crossed := failing(m.s, http.DefaultTransport, func(string) (fault, string) {
		if requests++; requests == step {
			if err := crossings(m)[other](t.Context(), m.s); err != nil {
				t.Errorf("%s: %v", other, err)
			}
		}
		return noFault, ""
	})
	err := call(t.Context(), crossed)
	known := errors.Is(err, pubsub.ErrGone) || errors.Is(err, pubsub.ErrCompleted) || errors.Is(err, pubsub.ErrSubscriberExists)
	if err != nil && !known {
		t.Errorf("%s: %v", first, err)
	}
	if err := m.together(t); err != nil {
		t.Errorf("after %s: %v", first, err)
	}
}

// Whatever crosses a call, at any point, entry and row stay together. And if the call
// dies there, a complete leaves nothing behind, unless somebody ended the operation at
// that very moment.
func TestWhateverCrossesACall(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for _, first := range []string{"put", "activate", "complete", "complete caught up", "complete an older's",
		"put a union", "complete a union"} {
		for other := range crossings(meeting{}) {
			for step := 1; step <= 8; step++ {
				if strings.HasSuffix(first, "a union") && strings.HasSuffix(other, "by an older") {
					continue // it knows only the first topic
				}
				if first == "complete an older's" && other == "again by an older" && step == 2 {
					continue // end says why
				}
				t.Run(fmt.Sprintf("%s/%s/%d", first, other, step), func(t *testing.T) {
					t.Parallel()
					cross(t, s, first, other, step)
				})
			}
		}
	}
}

// The same in topics that have parts. Others than these do the same to the rows.
func TestWhateverCrossesACallInParts(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.LargeTopics = true
	for _, first := range []string{"put", "activate", "complete", "put a union"} {
		for _, other := range []string{"complete", "again", "again with another", "deleted"} {
			for step := 1; step <= 10; step++ {
				t.Run(fmt.Sprintf("%s/%s/%d", first, other, step), func(t *testing.T) {
					t.Parallel()
					cross(t, s, first, other, step)
				})
			}
		}
	}
}

// A call that dies between two requests leaves an entry without its row, or nothing. A
// complete or the end of the connection removes it.
func TestWhatDiesOnTheWayIsTakenBack(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for _, first := range []string{"put", "activate", "complete", "put a union", "complete a union"} {
		for _, then := range []string{"complete", "deleted", "repeated"} {
			for step := 1; step <= 8; step++ {
				t.Run(fmt.Sprintf("%s/%s/%d", first, then, step), func(t *testing.T) {
					t.Parallel()
					m := meeting{s: s, id: fmt.Sprintf("%s-%s-%d", first, then, step), at: time.UnixMilli(1_790_000_000_123)}
					m.sub = pubsub.Subscription{ConnectionID: m.id, OperationID: "1", Topic: m.id + "/t", OperationKey: "k",
						Expires: time.Now().Add(time.Hour)}
					m.prepare(t, first)
					action, _, _ := strings.Cut(first, " ")
					call := map[string]func(context.Context, *Store) error{"put": m.put, "activate": m.activate, "complete": m.complete}[action]
					requests := 0
					dying := failing(s, http.DefaultTransport, func(string) (fault, string) {
						if requests++; requests >= step {
							return notApplied, denied
						}
						return noFault, ""
					})
					_ = call(t.Context(), dying)
					switch then {
					case "complete":
						if err := m.complete(t.Context(), s); err != nil {
							t.Error(err)
						}
					case "deleted":
						if err := s.DeleteConnection(t.Context(), m.id); err != nil {
							t.Error(err)
						}
					case "repeated":
						if err := call(t.Context(), s); err != nil && !errors.Is(err, pubsub.ErrSubscriberExists) {
							t.Error(err)
						}
						if action == "put" {
							return // its entry keeps the id
						}
					}
					if err := m.together(t); err != nil {
						t.Errorf("after %s: %v", first, err)
					}
				})
			}
		}
	}
}

// A complete begins when the entry is there and the row is not. The rest of the
// subscribe then crosses it at each step, and looks before the id is free.
func TestARowThatComesDuringACompleteGoes(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	for n := range 2 * 8 {
		first, step := []string{"put", "put a union"}[n%2], 1+n/2
		t.Run(fmt.Sprint(first, " ", step), func(t *testing.T) {
			t.Parallel()
			m := meeting{s: s, id: fmt.Sprint("c", n), at: time.UnixMilli(1_790_000_000_123)}
			m.sub = pubsub.Subscription{ConnectionID: m.id, OperationID: "1", Topic: m.id + "/t", OperationKey: "k", Expires: time.Now().Add(time.Hour)}
			m.prepare(t, first)
			running := runningItem{Topic: m.sub.Topic, Union: m.sub.Union, At: m.at.UnixMilli(), By: newToken()}
			if _, err := s.begin(t.Context(), m.sub, running, 9); err != nil {
				t.Fatal(err)
			}
			requests := 0
			crossed := failing(s, http.DefaultTransport, func(string) (fault, string) {
				if requests++; requests == step {
					err := s.list(t.Context(), m.sub, pubsub.Operation{}, running)
					if err != nil && !errors.Is(err, pubsub.ErrCompleted) {
						t.Error(err)
					}
				}
				return noFault, ""
			})
			if was, err := crossed.DeleteSubscription(t.Context(), m.id, "1", pubsub.Sent{At: m.at}); err != nil || !was {
				t.Errorf("complete: %t, %v", was, err)
			}
			if err := m.together(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// A subscribe is applied, its answer is lost, and its complete comes before the next
// try. That must not begin the operation again.
func TestALostAnswerBeginsNothingTwice(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"", "t"} {
		s := localStore(t)
		m := meeting{s: s, id: "c", at: time.UnixMilli(1_790_000_000_123)}
		m.sub = pubsub.Subscription{ConnectionID: m.id, OperationID: "1", Topic: topic, OperationKey: "k", Expires: time.Now().Add(time.Hour)}
		m.prepare(t, "put")
		updates := 0
		crossed := failing(s, http.DefaultTransport, func(action string) (fault, string) {
			if action != "UpdateItem" {
				return noFault, ""
			}
			if updates++; updates == 1 {
				return applied, serverFailed
			}
			if err := m.complete(t.Context(), s); err != nil {
				t.Error(err)
			}
			return noFault, ""
		})
		if err := m.put(t.Context(), crossed); !errors.Is(err, pubsub.ErrCompleted) {
			t.Errorf("topic %q: got error %v, want ErrCompleted", topic, err)
		}
		c, err := s.Connection(t.Context(), m.id)
		if err != nil || len(c.Operations) > 0 || countRows(t, s, "t") > 0 {
			t.Errorf("topic %q: %v runs, error %v", topic, c.Operations, err)
		}
	}
}
