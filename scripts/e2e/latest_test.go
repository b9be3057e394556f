package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/timing"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/shop"
	"subwire/shared/subwire"
)

// Hundreds of positions, published by many at once, some of them twice and some late.
// Everybody gets the newest, after far fewer posts, though stream is killed at times. A post
// that the machine is too busy for comes again from the queue of retries, perhaps after a
// newer one: functions/stream tests the order.
func TestABurstOfPositionsIsFewPosts(t *testing.T) {
	t.Parallel()
	const positions, followers, most = 400, 20, 200
	for name, faults := range map[string]string{"Quiet": "", "Kills": "lambda.stream:kill@0.3"} {
		t.Run(name, func(t *testing.T) { // one cloud at a time
			plan, err := plans.Parse(faults)
			if err != nil {
				t.Fatal(err)
			}
			c, err := startShop(cloud.Config{Faults: plan, Seed: 1, Meter: true, Timing: timing.Profile{StreamPoll: 250 * time.Millisecond}})
			m := marketIn(t, c, err)
			t.Cleanup(c.Stop)
			var following [followers]*wsclient.Subscription
			inParallel(t, followers, func(i int) {
				following[i] = m.subscribe(m.enter(fmt.Sprint("f", i)), `subscription { courierMoved(courierId: "carl") { latitude } }`, nil)
			})
			m.awaitRows("courier/carl", followers)
			before := c.Meter.Usage().Gateway.Sent
			inParallel(t, positions, func(i int) {
				for range 1 + i%2 {
					p := shop.Position{CourierID: "carl", Latitude: float64(i)}
					if err := m.shop.Publish(within(t), "courierMoved", fmt.Sprintf("%04d", i), p); err != nil {
						t.Error(err)
					}
				}
			})
			results := 0.0
			for _, s := range following {
				for results++; latitudeOf(t, next(t, s)) != positions-1; results++ {
				}
			}
			sent := c.Meter.Usage().Gateway.Sent - before
			if onHost {
				sent = results
			}
			t.Logf("%.1f posts for each of %d followers of %d positions", sent/followers, followers, positions)
			if sent > most*followers {
				t.Errorf("%v posts to %d followers", sent, followers)
			}
			// What is published after the burst comes after all of it, for everybody.
			if err := m.shop.Publish(within(t), "courierMoved", "last", shop.Position{CourierID: "carl", Latitude: -1}); err != nil {
				t.Fatal(err)
			}
			for _, s := range following {
				for latitudeOf(t, next(t, s)) != -1 {
				}
			}
			if faults != "" && c.Injector.Met()[faults[:strings.Index(faults, "@")]] == 0 {
				t.Error("stream was never killed")
			}
		})
	}
}

func latitudeOf(t *testing.T, result string) int {
	t.Helper()
	var r struct {
		Data struct{ CourierMoved struct{ Latitude float64 } }
	}
	if err := json.Unmarshal([]byte(result), &r); err != nil {
		t.Fatalf("%s: %v", result, err)
	}
	return int(r.Data.CourierMoved.Latitude)
}

// scanned returns all rows of all tables of the local cloud that contain the text, by
// the table's name.
func scanned(t *testing.T, text string) map[string][]map[string]types.AttributeValue {
	t.Helper()
	found := map[string][]map[string]types.AttributeValue{}
	db := dynamodb.NewFromConfig(local.Backend.AWS())
	for name, physical := range local.Tables {
		pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &physical})
		for pages.HasMorePages() {
			page, err := pages.NextPage(within(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Items {
				if strings.Contains(encode(t, row), text) {
					found[name] = append(found[name], row)
				}
			}
		}
	}
	return found
}

func do(t *testing.T, query string, variables map[string]string) string {
	t.Helper()
	_, body := request(t, encode(t, map[string]any{"query": query, "variables": variables}))
	return string(body)
}

// What is left of it is one row of each person in the inbox, which goes within an hour.
func TestTypingReachesTheOthersAndIsStoredNowhere(t *testing.T) {
	t.Parallel()
	const people, times = 3, 5
	chatID := fresh("typing")
	hears := dial(t)
	s := subscribe(t, hears, `subscription ($chatId: ID!) { typing(chatId: $chatId) { chatId who name } }`, chatID)
	await(t, "the subscription", func() bool { return len(scanned(t, "typing/"+chatID)["subscriptions"]) == 1 })
	var typing sync.WaitGroup
	for who := range people {
		typing.Go(func() {
			for range times {
				got := do(t, `mutation ($c: ID!, $w: ID!) { typing(chatId: $c, name: "someone-typing", as: $w) { who } }`,
					map[string]string{"c": chatID, "w": strconv.Itoa(who)})
				if !strings.Contains(got, `"data"`) {
					t.Errorf("typing: %s", got)
				}
			}
		})
	}
	typing.Wait()
	heard := map[string]bool{}
	for len(heard) < people { // nobody's is left out for another's
		heard[next(t, s)] = true
	}
	for who := range people {
		if want := fmt.Sprintf(`{"data":{"typing":{"chatId":%q,"who":"%d","name":"someone-typing"}}}`, chatID, who); !heard[want] {
			t.Errorf("heard %v, want %s", heard, want)
		}
	}
	found := scanned(t, "someone-typing")
	if len(found) != 1 || len(found[subwire.InboxTable]) != people {
		t.Errorf("%d rows in the inbox, of %d tables", len(found[subwire.InboxTable]), len(found))
	}
	for _, row := range found[subwire.InboxTable] {
		ttl, isNumber := row["ttl"].(*types.AttributeValueMemberN)
		if !isNumber {
			t.Fatalf("it has no ttl: %v", row)
		}
		if at, err := strconv.ParseInt(ttl.Value, 10, 64); err != nil || at > time.Now().Add(time.Hour).Unix() {
			t.Errorf("it expires at %s, %v", ttl.Value, err)
		}
	}
}

// Whoever marks what at the same time, marks move forward, and the last is the furthest.
func TestReadMarksMoveForwardInARace(t *testing.T) {
	t.Parallel()
	const messages = 12
	chatID := fresh("marks")
	var ids []string
	for i := range messages {
		post(t, chatID, fmt.Sprint(i))
	}
	var read struct {
		Data struct{ GetNewMessages []struct{ ID string } }
	}
	got := do(t, `query ($c: ID!) { getNewMessages(chatId: $c) { id } }`, map[string]string{"c": chatID})
	if err := json.Unmarshal([]byte(got), &read); err != nil || len(read.Data.GetNewMessages) != messages {
		t.Fatalf("%s: %v", got, err)
	}
	for _, m := range read.Data.GetNewMessages {
		ids = append(ids, m.ID)
	}
	s := subscribe(t, dial(t), `subscription ($chatId: ID!) { readMarks(chatId: $chatId) { reader messageId } }`, chatID)
	await(t, "the subscription", func() bool { return len(scanned(t, "readMarks/"+chatID)["subscriptions"]) == 1 })
	var marking sync.WaitGroup
	for _, id := range ids {
		marking.Go(func() {
			got := do(t, `mutation ($c: ID!, $m: ID!) { markRead(chatId: $c, messageId: $m, name: "Ada", as: "ada") { messageId } }`,
				map[string]string{"c": chatID, "m": id})
			var marked struct {
				Data struct{ MarkRead struct{ MessageID string } }
			}
			if err := json.Unmarshal([]byte(got), &marked); err != nil || marked.Data.MarkRead.MessageID < id {
				t.Errorf("marked %s: %s", id, got)
			}
		})
	}
	marking.Wait()
	last := ids[messages-1]
	mark := func(id string) string { return fmt.Sprintf(`{"reader":"ada","messageId":%q}`, id) }
	for before := ""; !strings.Contains(before, last); {
		got := next(t, s)
		if got < before { // the ids are all that differs
			t.Errorf("%s came after %s", got, before)
		}
		before = got
	}
	await(t, "the mark in the index", func() bool {
		return do(t, `query ($chatId: ID!) { readMarks(chatId: $chatId) { reader messageId } }`, map[string]string{"chatId": chatID}) ==
			`{"data":{"readMarks":[`+mark(last)+`]}}`
	})
	if got := do(t, `mutation ($c: ID!, $m: ID!) { markRead(chatId: $c, messageId: $m, name: "Ada", as: "ada") { reader messageId } }`,
		map[string]string{"c": chatID, "m": ids[0]}); got != `{"data":{"markRead":`+mark(last)+`}}` {
		t.Errorf("after an older one: %s", got)
	}
}
