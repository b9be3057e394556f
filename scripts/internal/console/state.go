// Package console shows a running Subwire: what each event went through, to whom it was
// delivered, and what it costs. It gathers what the parts of the local cloud, or the logs
// of a stack, tell; it changes nothing by itself.
package console

import "time"

// State is what the page shows at a moment. Its lists are bounded, newest first; here and below, an empty
// one may be null in JSON.
type State struct {
	App   string    `json:"app"`   // name of the product
	Where string    `json:"where"` // local, or the name of the stack
	Began time.Time `json:"began"` // when the gathering began
	At    time.Time `json:"at"`
	Can   Can       `json:"can"`

	Latency Latency `json:"latency"`
	Owed    int     `json:"owed"`      // deliveries to subscribers, of the events that were sent
	Done    int     `json:"delivered"` // of these
	Ended   int     `json:"ended"`     // of these, to subscribers that had gone, expired or completed
	Lost    int     `json:"lost"`      // of these, parked: they are in dead letters
	Dead    int     `json:"dead"`      // messages in dead letters

	USD        float64 `json:"usd"`        // what the run would have cost on AWS, or this console has cost
	PerMillion float64 `json:"perMillion"` // USD for a million pushes of this mix; 0 before the first
	Bill       []Cost  `json:"bill"`

	Nodes       []Node       `json:"nodes"` // of the map, with their edges
	Events      []Event      `json:"events"`
	Connections []Connection `json:"connections"`
	Open        int          `json:"open"` // sockets
	Topics      []Topic      `json:"topics"`
	Functions   []Function   `json:"functions"`
	Queues      []Queue      `json:"queues"`
	Faults      []Fault      `json:"faults"`
	Seed        uint64       `json:"seed"`        // of the faults
	Down        bool         `json:"down"`        // whether the gateway is
	Subscribers int          `json:"subscribers"` // that the console opened
	Histogram   []Bin        `json:"histogram"`   // of the latest 1,000 posts: ms from write to post

	HTTP    string   `json:"http"`    // URL of the HTTP API, if the page is not served beside it
	Figures []Figure `json:"figures"` // of the dashboard, for the latest minute; of a stack
	Scan    *Scan    `json:"scan"`    // how connections are found, if that costs something

	Alarms []string `json:"alarms"` // that are on
	Notes  []string `json:"notes"`  // what could not be read, for people
}

// Can says which actions this deployment allows.
type Can struct {
	Post      bool `json:"post"`
	Subscribe bool `json:"subscribe"`
	Cut       bool `json:"cut"`
	Revoke    bool `json:"revoke"`
	Kill      bool `json:"kill"`
	Break     bool `json:"break"`
	Frames    bool `json:"frames"` // whether logs of connections have any; no action
	Redrive   bool `json:"redrive"`
	Scan      bool `json:"scan"`
}

// Figure is one of the dashboard's.
type Figure struct {
	Part  string  `json:"part"`
	Label string  `json:"label"`
	Value float64 `json:"value"`
}

// Scan is a read of the whole table of connections: what it costs, and when it was done last.
type Scan struct {
	Rows    int64     `json:"rows"`  // some hours ago, as DynamoDB counts
	Units   float64   `json:"units"` // read units
	USD     float64   `json:"usd"`
	Running bool      `json:"running"`
	At      time.Time `json:"at"`
}

// Latency is from write to the last post of an event, in ms; zero without events.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Cost is a service's line of the bill.
type Cost struct {
	Service string  `json:"service"`
	What    string  `json:"what"`
	Units   float64 `json:"units"`
	USD     float64 `json:"usd"`
}

// Node is a part of the pipeline. Figures that it does not have are zero.
type Node struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // clients, gateway, function, table, queue
	To       []string `json:"to"`   // names of the nodes to which things go
	Rate     float64  `json:"rate"` // per second, over the latest five
	Out      float64  `json:"out"`  // of the gateway: posts per second
	P50      float64  `json:"p50"`  // ms
	Warm     int      `json:"warm"`
	Busy     int      `json:"busy"`
	Depth    int      `json:"depth"`
	InFlight int      `json:"inFlight"`
	LagMS    float64  `json:"lag"`
	Refused  int      `json:"refused"` // posts answered 429 or 5xx
	Gone     int      `json:"gone"`    // posts answered 410
	Failed   int      `json:"failed"`
}

// Event is one event in the list.
type Event struct {
	ID        string    `json:"id"`
	Topic     string    `json:"topic"`
	At        time.Time `json:"at"` // when its row was written
	Targets   int       `json:"targets"`
	Delivered int       `json:"delivered"`
	Retries   int       `json:"retries"`
	Gone      int       `json:"gone"`
	Parked    int       `json:"parked"`
	LastMS    float64   `json:"last"` // from the write to the last post; 0 before any
	Done      bool      `json:"done"` // whether every target has an outcome
}

// Trace is what became of one event.
type Trace struct {
	Event
	Trace      string      `json:"trace"` // id of the trace
	Spans      []Span      `json:"spans"` // in order of begin
	Posts      []Post      `json:"posts"` // one for each target, the last attempt
	Executions []Execution `json:"executions"`
	USD        float64     `json:"usd"`     // of its pushes
	Request    *Request    `json:"request"` // the mutation that wrote it; null if it was none
}

// Span is a bar of the trace. Times are in ms after the start of the first span.
type Span struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"` // function, call, wait
	Depth  int     `json:"depth"`
	Begin  float64 `json:"begin"`
	Took   float64 `json:"took"`
	Detail string  `json:"detail"`
	Failed bool    `json:"failed"`
	Cold   bool    `json:"cold"`
}

// Post is what one subscriber got.
type Post struct {
	Connection string  `json:"connection"`
	Operation  string  `json:"operation"` // id that the client chose
	Status     int     `json:"status"`    // of the gateway's answer; 0 while there is none
	At         float64 `json:"at"`        // ms since the write
	Attempt    int     `json:"attempt"`
}

// Execution is one distinct operation of an event, executed once for all its subscribers.
type Execution struct {
	Document string `json:"document"`
	Targets  int    `json:"targets"` // that share it
	Viewer   bool   `json:"viewer"`  // whether it is executed for one viewer alone
	Frame    string `json:"frame"`   // the payload that was posted
}

// Request is a GraphQL request, which can be sent again.
type Request struct {
	Document  string `json:"document"`
	Variables string `json:"variables"` // JSON
	Curl      string `json:"curl"`
	GraphiQL  string `json:"graphiql"` // path and fragment

	whole bool // whether nothing was cut out
}

// Whole reports whether it is as it was: nothing was cut out.
func (q Request) Whole() bool { return q.whole }

// Connection is a client's socket.
type Connection struct {
	ID         string    `json:"id"`
	Viewer     string    `json:"viewer"`
	Client     string    `json:"client"` // its user agent, shortened
	Since      time.Time `json:"since"`
	Operations int       `json:"operations"`
	In         int       `json:"in"`
	Out        int       `json:"out"`
	Closed     string    `json:"closed"` // code and reason; "" while it is open
}

// Log is the protocol of one connection.
type Log struct {
	Connection
	Frames []Frame `json:"frames"` // oldest first, the latest 200
}

// Frame is a message of the protocol. Tokens are cut out.
type Frame struct {
	At     time.Time `json:"at"`
	In     bool      `json:"in"` // from the client
	Text   string    `json:"text"`
	Bytes  int       `json:"bytes"`
	TookMS float64   `json:"took"`
	Status int       `json:"status"` // of a post
}

// Topic is what is known of a topic since the gathering began.
type Topic struct {
	Name        string    `json:"name"`
	Events      int       `json:"events"`
	Subscribers int       `json:"subscribers"` // of the latest event
	Last        time.Time `json:"last"`
}

// Function is one function's processes and invocations.
type Function struct {
	Name        string  `json:"name"`
	Warm        int     `json:"warm"`
	Busy        int     `json:"busy"`
	Cold        int     `json:"cold"` // starts
	Invocations int     `json:"invocations"`
	Errors      int     `json:"errors"`
	P50         float64 `json:"p50"` // ms, of the latest 1,000
	P99         float64 `json:"p99"`
}

// Queue is one queue.
type Queue struct {
	Name     string `json:"name"`
	From     string `json:"from"` // of dead letters: whose they are; "" otherwise
	Depth    int    `json:"depth"`
	InFlight int    `json:"inFlight"`
}

// Fault is a switch of "break it".
type Fault struct {
	Name   string  `json:"name"` // as in a plan, without its chance
	What   string  `json:"what"` // for people
	Chance float64 `json:"chance"`
	On     bool    `json:"on"`
	Met    int     `json:"met"`
}

// Bin is a bar of the histogram: how many posts took UpTo ms or less, and more than the bin before.
type Bin struct {
	UpTo  float64 `json:"upTo"`
	Count int     `json:"count"`
}
