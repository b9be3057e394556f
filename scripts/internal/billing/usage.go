// Package billing says what AWS charges: the usage that it counts, the prices of one
// region, and the resulting bill. It is pure and measures nothing: package meter
// measures, and the cost model predicts.
package billing

import "maps"

// Sizes of billing units, in bytes ("Amazon API Gateway pricing", "Amazon SQS pricing").
const (
	MessageUnit = 32 << 10  // a WebSocket message; a larger one counts as several
	RequestUnit = 512 << 10 // a request to an HTTP API; a larger one counts as several
	QueueUnit   = 64 << 10  // an SQS request; a larger one counts as several
)

// Units is how many units of a size the bytes are charged as: at least one.
func Units(bytes, unit int) float64 { return float64(max(1, (bytes+unit-1)/unit)) }

// Usage is what is charged for. Its numbers may be fractions, like those of a model.
// The zero value is no usage.
type Usage struct {
	Gateway   Gateway
	Functions map[string]Function // by function
	Queues    map[string]Queue    // by queue
	Tables    map[string]Table    // by table and call, such as "messages.PutItem"
}

type Gateway struct {
	Sent              float64 // messages to clients, in units of 32 KB
	Received          float64 // messages from clients, in units of 32 KB
	SentBytes         float64 // of the messages to clients: data transfer
	ConnectionMinutes float64 // of open sockets
	Requests          float64 // to the HTTP API, in units of 512 KB
}

type Function struct {
	Invocations float64
	Seconds     float64 // of all invocations together, each rounded up to milliseconds
	GBSeconds   float64 // these seconds times the memory
	LogBytes    float64 // written to CloudWatch Logs
}

// Queue is the usage of one queue, in requests of 64 KB each.
type Queue struct {
	FIFO     bool
	Sends    float64
	Receives float64 // that brought messages
	Empty    float64 // receives without messages
	Deletes  float64 // and changes of visibility
}

func (q Queue) Requests() float64 { return q.Sends + q.Receives + q.Empty + q.Deletes }

// Table is the usage of one table by one call.
type Table struct {
	Requests float64
	Writes   float64 // write request units
	Reads    float64 // read request units
}

func (u Usage) Plus(v Usage) Usage { return u.add(v, 1) }

// Minus returns how much u exceeds v, as for a meter read twice.
func (u Usage) Minus(v Usage) Usage { return u.add(v, -1) }

func (u Usage) Times(n float64) Usage { return Usage{}.add(u, n) }

func (u Usage) add(v Usage, n float64) Usage {
	u.Gateway.Sent += n * v.Gateway.Sent
	u.Gateway.Received += n * v.Gateway.Received
	u.Gateway.SentBytes += n * v.Gateway.SentBytes
	u.Gateway.ConnectionMinutes += n * v.Gateway.ConnectionMinutes
	u.Gateway.Requests += n * v.Gateway.Requests
	u.Functions = merge(u.Functions, v.Functions, func(a, b Function) Function {
		return Function{a.Invocations + n*b.Invocations, a.Seconds + n*b.Seconds,
			a.GBSeconds + n*b.GBSeconds, a.LogBytes + n*b.LogBytes}
	})
	u.Queues = merge(u.Queues, v.Queues, func(a, b Queue) Queue {
		return Queue{a.FIFO || b.FIFO, a.Sends + n*b.Sends, a.Receives + n*b.Receives, a.Empty + n*b.Empty, a.Deletes + n*b.Deletes}
	})
	u.Tables = merge(u.Tables, v.Tables, func(a, b Table) Table {
		return Table{a.Requests + n*b.Requests, a.Writes + n*b.Writes, a.Reads + n*b.Reads}
	})
	return u
}

// merge returns a new map: a, with each value of b combined by put.
func merge[V any](a, b map[string]V, put func(a, b V) V) map[string]V {
	sum := maps.Clone(a)
	if sum == nil {
		sum = map[string]V{}
	}
	for name, value := range b {
		sum[name] = put(sum[name], value)
	}
	return sum
}
