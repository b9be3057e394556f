package topology

// Host is the program that holds sockets itself: it does what Connect, Message, Disconnect and
// Sender do, for the sockets of one process. It is no Lambda function, so Functions does not
// list it, and its time-out and memory mean nothing.
var Host = Function{Name: "host", Tables: []Table{Connections, Subscriptions, Operations},
	Queues: []Queue{ConnectionChecks, Retries, RetriesDead}}

// Hosts lists the programs that are no functions, but get settings like them.
func Hosts() []Function { return []Function{Host} }
