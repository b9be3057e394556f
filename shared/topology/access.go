package topology

import "slices"

// Resource is a kind of thing that a permission is for.
type Resource string

// The kinds, and what a permission's Name is for each.
const (
	OnTable   Resource = "table"       // logical name of the table
	OnIndex   Resource = "index"       // logical name of the table, "/", and name of the index
	OnStream  Resource = "stream"      // logical name of the streamed table
	OnStreams Resource = "all streams" // ""
	OnQueue   Resource = "queue"       // logical name of the queue
	OnSockets Resource = "sockets"     // HTTP method of the management API, for any connection of our stage
)

// Permission allows a function IAM actions on one resource.
type Permission struct {
	On      Resource
	Name    string
	Actions []string
}

// What an event source mapping does in its function's name ("Using Lambda with Amazon
// SQS", "Using Lambda with DynamoDB": execution role permissions).
var (
	receive    = []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
	readStream = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}
)

const manageConnections = "execute-api:ManageConnections"

// deliverRows is what whoever delivers events does with the core's rows: it loads operations, and
// ends subscriptions and connections.
var deliverRows = []Permission{
	{OnTable, Operations.Name, []string{"dynamodb:GetItem"}},
	{OnTable, Connections.Name, []string{"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}},
	{OnTable, Subscriptions.Name, []string{"dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:GetItem",
		"dynamodb:UpdateItem"}},
}

// coreAccess says what each function may do with what is the core's, by its name. A
// batch needs its own action.
var coreAccess = map[string][]Permission{
	Connect.Name: {
		{OnTable, Connections.Name, []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}}, // the first of leases
		{OnQueue, ConnectionChecks.Name, []string{"sqs:SendMessage"}},
	},
	Message.Name: {
		{OnTable, Connections.Name, []string{"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}},
		{OnTable, Subscriptions.Name, []string{"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem",
			"dynamodb:GetItem", "dynamodb:UpdateItem"}}, // the last two for parts
		{OnTable, Operations.Name, []string{"dynamodb:GetItem", "dynamodb:PutItem"}},
		{OnQueue, ConnectionChecks.Name, []string{"sqs:SendMessage"}},
		{OnSockets, "POST", []string{manageConnections}},
		{OnSockets, "DELETE", []string{manageConnections}},
	},
	Disconnect.Name: {
		{OnTable, Connections.Name, []string{"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}},
		{OnTable, Subscriptions.Name, []string{"dynamodb:BatchWriteItem", "dynamodb:UpdateItem"}}, // heads of parts
		{OnQueue, ConnectionChecks.Name, append([]string{"sqs:SendMessage"}, receive...)},
		{OnSockets, "POST", []string{manageConnections}},
		{OnSockets, "DELETE", []string{manageConnections}},
	},
	GraphQL.Name: {
		{OnTable, Connections.Name, []string{"dynamodb:GetItem", "dynamodb:UpdateItem"}}, // spent, audiences, revoked
		{OnQueue, ConnectionChecks.Name, []string{"sqs:SendMessage"}},                    // revocations
	},
	Stream.Name: {
		{OnStreams, "", []string{"dynamodb:ListStreams"}},         // IAM knows no narrower resource for it
		{OnTable, Connections.Name, []string{"dynamodb:PutItem"}}, // audiences
		{OnTable, Subscriptions.Name, []string{"dynamodb:Query", "dynamodb:BatchGetItem", // heads of parts
			"dynamodb:PutItem"}}, // marks
		{OnQueue, Fanout.Name, []string{"sqs:SendMessage"}},
		{OnQueue, StreamDead.Name, []string{"sqs:SendMessage"}},
	},
	Sender.Name: slices.Concat(deliverRows, []Permission{
		{OnQueue, Fanout.Name, receive},
		{OnQueue, Retries.Name, append([]string{"sqs:SendMessage"}, receive...)},
		{OnQueue, RetriesDead.Name, []string{"sqs:SendMessage"}},
		{OnSockets, "POST", []string{manageConnections}},
		{OnSockets, "DELETE", []string{manageConnections}},
	}),
	Canary.Name: {}, // it is a client
	Publish.Name: {
		{OnTable, InboxTable, []string{"dynamodb:PutItem"}},
		{OnQueue, Events.Name, receive},
		{OnQueue, EventsDead.Name, []string{"sqs:SendMessage"}},
	},
}

// What a function may do with the rows of a product. Whoever delivers events reads what a
// result shows besides its event.
var (
	readRows      = []string{"dynamodb:GetItem", "dynamodb:Query"}
	readWriteRows = append([]string{"dynamodb:PutItem", "dynamodb:DeleteItem"}, readRows...)
)

// presenceAccess is what presence adds. Who leaves is marked, and deleted after a while.
var presenceAccess = map[string][]Permission{
	Disconnect.Name: {{OnTable, Subscriptions.Name, []string{"dynamodb:DeleteItem"}}},
	Stream.Name: {
		{OnStream, Subscriptions.Name, readStream},
		{OnQueue, ConnectionChecks.Name, []string{"sqs:SendMessage"}},
	},
}

// directAccess is what stream may do besides, unless all events go by the queue: what sender
// may, but for its queues' messages.
var directAccess = map[string][]Permission{
	Stream.Name: slices.Concat(deliverRows, []Permission{
		{OnQueue, Retries.Name, []string{"sqs:SendMessage"}},
		{OnQueue, RetriesDead.Name, []string{"sqs:SendMessage"}},
		{OnSockets, "POST", []string{manageConnections}},
		{OnSockets, "DELETE", []string{manageConnections}},
	}),
}

// fastAccess is what functions that write rows may do besides, if they announce the events
// themselves.
var fastAccess = map[string][]Permission{
	Message.Name: mayAnnounce, GraphQL.Name: mayAnnounce, Publish.Name: mayAnnounce,
}

var mayAnnounce = []Permission{
	{OnTable, Subscriptions.Name, []string{"dynamodb:Query", "dynamodb:BatchGetItem"}}, // heads of parts
	{OnQueue, Fanout.Name, []string{"sqs:SendMessage"}},
}

// rowAccess has the functions that get the product's tables.
func (p Product) rowAccess() map[string][]string {
	all := map[string][]string{Message.Name: readWriteRows, GraphQL.Name: readWriteRows, Sender.Name: readRows}
	if !p.QueueOnly {
		all[Stream.Name] = readRows
	}
	return all
}

// Access says what each function may do, by its name: what its code and its event source
// mappings do, and nothing else. Besides, every function may write to its own log group.
func (p Product) Access() map[string][]Permission {
	all := map[string][]Permission{}
	for name, permissions := range coreAccess {
		all[name] = slices.Clone(permissions)
		if !p.QueueOnly {
			all[name] = append(all[name], directAccess[name]...)
		}
		if p.Presence != "" {
			all[name] = append(all[name], presenceAccess[name]...)
		}
		if p.Fast {
			all[name] = append(all[name], fastAccess[name]...)
		}
	}
	for _, t := range p.Tables {
		for name, actions := range p.rowAccess() {
			all[name] = append(all[name], Permission{OnTable, t.Name, actions})
			for _, index := range t.Indexes {
				all[name] = append(all[name], Permission{OnIndex, t.Name + "/" + index.Name, []string{"dynamodb:Query"}})
			}
		}
		if t.Stream {
			all[Stream.Name] = append(all[Stream.Name], Permission{OnStream, t.Name, readStream})
		}
	}
	return all
}
