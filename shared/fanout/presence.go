package fanout

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// Presence turns changes of a topic of presence into an event: it counts who is present
// by the rows, and returns the count as the event's root, and who is told. These are all
// who are there, or those who came alone if there are too many. Nobody is told when only
// the grace of some begins, and then the rows are not read.
//
// All are told up to pubsub.MaxPresent, and once more when those who came pass it: when
// there were no more before the first of them. Presence stops reading when it knows that
// there were, and after pubsub.MaxPresentRows.
//
// A row that cannot be decoded does not count. Any other error of the rows is returned.
func Presence(changes []pubsub.PresenceChange, rows iter.Seq2[pubsub.Subscription, error]) (
	root json.RawMessage, told []pubsub.Subscription, err error) {
	came, changed := whoCame(changes)
	if !changed {
		return nil, nil, nil
	}
	var first time.Time // when the first of those who came began
	for _, s := range came {
		if first.IsZero() || s.At.Before(first) {
			first = s.At
		}
	}
	all, before := map[string]bool{}, map[string]bool{} // by Who
	n, many := 0, false
	for s, err := range rows {
		if errors.Is(err, pubsub.ErrUndecodableRow) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("count who is present: %w", err)
		}
		n++
		all[s.Who] = true
		if first.IsZero() || s.At.Before(first) {
			before[s.Who] = true
		}
		if s.Left.IsZero() {
			s.Viewer = pubsub.Viewer{} // the event is the same for all
			told = append(told, s)
		}
		if many = len(before) > pubsub.MaxPresent || n == pubsub.MaxPresentRows; many {
			told = came
			break
		}
	}
	found := pubsub.Presence{Count: min(len(all), pubsub.MaxPresent), More: many || len(all) > pubsub.MaxPresent}
	root, err = jsontext.Append(nil, found)
	return root, told, err
}

// whoCame returns those who came and are still there as far as the changes say, and
// whether there was any change but that somebody's grace began.
func whoCame(changes []pubsub.PresenceChange) (came []pubsub.Subscription, changed bool) {
	type key struct{ connectionID, operationID string }
	last := map[key]pubsub.PresenceChange{}
	for _, c := range changes {
		changed = changed || c.Now == nil || c.Came()
		if c.Now != nil {
			last[key{c.Now.ConnectionID, c.Now.OperationID}] = c
		}
	}
	for _, c := range last {
		if c.Came() {
			s := *c.Now
			s.Viewer = pubsub.Viewer{}
			came = append(came, s)
		}
	}
	slices.SortFunc(came, func(a, b pubsub.Subscription) int {
		return cmp.Or(cmp.Compare(pubsub.Bucket(a.ConnectionID), pubsub.Bucket(b.ConnectionID)),
			cmp.Compare(a.ConnectionID, b.ConnectionID), cmp.Compare(a.OperationID, b.OperationID))
	})
	return came, changed
}

// Each yields them all, without an error: subscriptions as Plan takes them, or batches as it
// returns them.
func Each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}
}
