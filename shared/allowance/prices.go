package allowance

import (
	"context"
	"math"
	"sync"
	"time"
)

// A unit is a millionth of a dollar: API Gateway's price for a message of 32 KB. The
// prices are those of docs/cost.md, us-east-1. Their sums are compared with what is
// metered (bench abuse).
const (
	message    = 1.0   // of 32 KB, either way; an HTTP request of 512 KB costs as much
	invocation = 0.6   // the request 0.2, 15 ms of 512 MB 0.1, its line of metrics 0.1, and a reserve
	write      = 0.625 // of 1 KB
	read       = 0.125 // of 4 KB, strongly consistent
	transfer   = 0.09  // of 1 KB to the internet
	second     = 6.7   // of 512 MB
	queued     = 0.5   // a request of 64 KB to a FIFO queue
	logged     = 0.25  // 500 bytes: the metrics of an operation that failed
)

// What a client's messages cost besides the frame, in units, by what they ask for. The
// price of what begins includes its end, which comes without another frame.
const (
	Handshake = 7.0                   // $connect, its check by the queue, $disconnect
	Init      = 2 * (message + write) // acknowledged
	Counted   = 4 * write             // against its quota, and released: two items of 2 KB
	Ending    = 4.5                   // of a refused connection: told, deleted, $disconnect
	Operation = 5.5                   // begun, ended, its answers' messages
	Stop      = 2.5                   // complete
)

// Frame is the price of a frame of that many bytes and of its invocation.
func Frame(bytes int) float64 { return messages(bytes) + invocation }

// Request is the price of a request to the HTTP API, whatever comes of it.
func Request() float64 { return message + invocation + logged }

// Waited is the price of an invocation that waits for so long, and looks again.
func Waited(d time.Duration) float64 { return second * d.Seconds() }

// Revocation is the price of revoking a viewer whose connections are counted in so many
// items, and of ending the connections.
func Revocation(items, connections int) float64 {
	return float64(items)*write + float64(connections)*(Ending+1.5)
}

// Look is what a look at a connection of that size costs beyond one at a small
// connection.
func Look(bytes int) float64 { return read * math.Floor(kilobytes(bytes)/4) }

// Touch is what a write to a connection of that size costs beyond one to a small
// connection, including the look before it.
func Touch(bytes int) float64 { return Look(bytes) + write*math.Floor(kilobytes(bytes)) }

// Sent is the price of a message to a client.
func Sent(bytes int) float64 { return messages(bytes) + Transferred(bytes) }

// Transferred is the price of bytes to the internet.
func Transferred(bytes int) float64 { return float64(bytes) / 1000 * transfer }

// Stored is the price of writing an item of that many bytes.
func Stored(bytes int) float64 { return write * (1 + kilobytes(bytes)) }

// Listed is the price of a subscription's row of that many bytes under one more topic:
// it is written, deleted, and deleted once more (dynamo.Store).
func Listed(bytes int) float64 { return write * (1 + 2*math.Ceil(kilobytes(bytes))) }

// Read is the price of reading that many bytes in one query.
func Read(bytes int) float64 { return read * (1 + kilobytes(bytes)/4) }

// FannedOut is the price of bringing an event of that many bytes to the senders,
// without its pushes: the stream's invocation and, for each of four groups, a queue
// message sent, received and deleted, and a sender's invocation.
func FannedOut(bytes int) float64 { return invocation + 4*(1.5+invocation)*(1+kilobytes(bytes)/64) }

// Announced is the price of bringing an event of that many bytes to the senders' queue also
// by the fast way: its subscribers are read once more, and the messages for four groups are
// sent again in one request, which the queue drops. It includes a line of the log and 15 ms.
func Announced(bytes, subscribers int) float64 {
	const row, working = 150, 0.1 // bytes of a subscriber's row; units
	return Read(subscribers*row) + queued*(1+4*kilobytes(bytes)/64) + working + logged
}

// Present is the price of telling so many that somebody has come, and later that he has
// left: the queued checks, two writes of the row, and the events.
func Present(audience int) float64 {
	const event, checks = 300, 4 // bytes; units for the two checks
	return checks + 2*write + 2*(Read(audience*event)+FannedOut(event)+float64(audience)*Sent(event))
}

func messages(bytes int) float64 { return float64(max(1, (bytes+32<<10-1)/(32<<10))) * message }

func kilobytes(bytes int) float64 { return float64(bytes) / 1024 }

// Tally adds up what an execution costs where it is spent: in its resolvers.
type Tally struct {
	mu    sync.Mutex
	units float64
}

type tallyKey struct{}

// WithTally returns a context for one execution, and the tally to draw for it.
func WithTally(ctx context.Context) (context.Context, *Tally) {
	t := &Tally{}
	return context.WithValue(ctx, tallyKey{}, t), t
}

// Add adds units to the tally of ctx, if it has one.
func Add(ctx context.Context, units float64) {
	if t, ok := ctx.Value(tallyKey{}).(*Tally); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.units += units
	}
}

// Take returns what was added since the last Take.
func (t *Tally) Take() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	units := t.units
	t.units = 0
	return units
}
