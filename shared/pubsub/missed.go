package pubsub

import (
	"context"
	"time"
)

// Missed reads what a resumed subscription has missed: the events committed at the call
// after the one that its client has, oldest first, at most max (2 or more). If more is
// set, there may be others: to go on, pass the id of the last event as read.
//
// Where a read begins. An event may be committed, or reach a client, after one with a
// higher id. So a read begins earlier than what it is asked for, by the time that the
// domain takes to commit an event:
//   - with a zero since, after the client's event, less that time and less SettleTime
//   - with since, where events may have been committed since then, less that time
//   - with read, after that event: from it nothing is subtracted
//
// So Missed returns events that the client has as well.
type Missed func(ctx context.Context, since time.Time, read string, max int) (events []Event, more bool, err error)

// SettleTime is how long a resumed subscription may take, from its last read before it
// is listed under its topic until all that it missed is posted. In that time the client
// may get new events before older ones, and lose its connection between the two.
const SettleTime = 8 * time.Second
