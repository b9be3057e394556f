package topology

import "strconv"

// Limits bound what one operation may ask for. Together they keep what a
// hostile document costs within 50 ms of CPU and 50 MB (SECURITY.md). The zero
// value stands for DefaultLimits.
type Limits struct {
	DocumentBytes  int // of the document
	Tokens         int // of the document, comments not counted
	Depth          int // of fields in fields, through fragments; ofType does not count
	Fields         int // selections, with every fragment counted where it is spread
	Aliases        int // fields with an alias, likewise
	Directives     int // likewise
	ListItems      int // of all lists and objects in the document together, and of each list in the variables
	Complexity     int // fields to resolve: those in a list count once per item
	VariablesBytes int // of the variables as JSON
	Mutations      int // root fields of a mutation
	ReadBytes      int // read from stores by all resolvers together
	ResultBytes    int // of the result as JSON

	// A subscription is stored, and executed for each event.
	SubscriptionBytes  int // of its document, name and variables
	SubscriptionFields int // as Fields
}

// LargestResult is the most that ResultBytes may be: an answer of a function has 6
// MB as JSON in which each byte may take six, as "<" does ("Lambda quotas").
const LargestResult = 1_000_000

// OverSocket are the limits of an operation whose result is one message.
func (l Limits) OverSocket() Limits {
	l.ResultBytes = min(l.ResultBytes, MaxMessageBytes)
	return l
}

// BodyBytes is the largest HTTP body that can hold an operation within the limits:
// JSON may write a byte of its document in six. The rest of it has 16 KB.
func (l Limits) BodyBytes() int {
	return min(6*l.DocumentBytes+l.VariablesBytes+16<<10, MaxBodyBytes)
}

// DefaultLimits leave room for a tool's introspection of a schema and for any
// document that a person writes.
var DefaultLimits = Limits{
	DocumentBytes:  16 << 10,
	Tokens:         2000,
	Depth:          16,
	Fields:         500,
	Aliases:        30,
	Directives:     50,
	ListItems:      100,
	Complexity:     10_000,
	VariablesBytes: 16 << 10,
	Mutations:      5,
	ReadBytes:      1 << 20, // a page of the longest chat messages, 256 read units
	ResultBytes:    LargestResult,

	SubscriptionBytes:  4 << 10, // one read unit
	SubscriptionFields: 100,
}

// The settings of Limits, for every function that prepares operations.
var (
	MaxDocumentBytes  = Setting{"MAX_DOCUMENT_BYTES", strconv.Itoa(DefaultLimits.DocumentBytes)}
	MaxTokens         = Setting{"MAX_TOKENS", strconv.Itoa(DefaultLimits.Tokens)}
	MaxDepth          = Setting{"MAX_DEPTH", strconv.Itoa(DefaultLimits.Depth)}
	MaxFields         = Setting{"MAX_FIELDS", strconv.Itoa(DefaultLimits.Fields)}
	MaxAliases        = Setting{"MAX_ALIASES", strconv.Itoa(DefaultLimits.Aliases)}
	MaxDirectives     = Setting{"MAX_DIRECTIVES", strconv.Itoa(DefaultLimits.Directives)}
	MaxListItems      = Setting{"MAX_LIST_ITEMS", strconv.Itoa(DefaultLimits.ListItems)}
	MaxComplexity     = Setting{"MAX_COMPLEXITY", strconv.Itoa(DefaultLimits.Complexity)}
	MaxVariablesBytes = Setting{"MAX_VARIABLES_BYTES", strconv.Itoa(DefaultLimits.VariablesBytes)}
	MaxMutations      = Setting{"MAX_MUTATIONS", strconv.Itoa(DefaultLimits.Mutations)}
	MaxReadBytes      = Setting{"MAX_READ_BYTES", strconv.Itoa(DefaultLimits.ReadBytes)}
	MaxResultBytes    = Setting{"MAX_RESULT_BYTES", strconv.Itoa(DefaultLimits.ResultBytes)}

	MaxSubscriptionBytes  = Setting{"MAX_SUBSCRIPTION_BYTES", strconv.Itoa(DefaultLimits.SubscriptionBytes)}
	MaxSubscriptionFields = Setting{"MAX_SUBSCRIPTION_FIELDS", strconv.Itoa(DefaultLimits.SubscriptionFields)}

	documentLimits = []Setting{MaxDocumentBytes, MaxTokens, MaxDepth, MaxFields, MaxAliases, MaxDirectives,
		MaxListItems, MaxComplexity, MaxVariablesBytes, MaxMutations, MaxReadBytes, MaxResultBytes,
		MaxSubscriptionBytes, MaxSubscriptionFields}
)

// The limits of a connection, for the function that gets its messages, and the
// first for the stream function as well.
var (
	MaxOfTopic          = Setting{"MAX_OPERATIONS_PER_TOPIC", "10"} // subscriptions of one topic, per connection
	MaxReplayBytes      = Setting{"MAX_REPLAY_BYTES", "1048576"}    // of an operation; a connection gets twice as many a minute
	MaxOperationIDBytes = Setting{"MAX_OPERATION_ID_BYTES", "128"}  // of the id that a client gives an operation
	MaxInitBytes        = Setting{"MAX_INIT_BYTES", "8192"}         // of the payload of connection_init
	MaxFramesPerSecond  = Setting{"MAX_FRAMES_PER_SECOND", "50"}    // that one process takes of a connection, after a burst of four times as many
)

// MaxCostPerMinute is what one address, or one viewer with a token, may make the
// owner pay in a minute, in millionths of a dollar (package allowance); 0 for
// anything. SECURITY.md has the arithmetic of the default.
var MaxCostPerMinute = Setting{"MAX_COST_PER_MINUTE", "20000"}

// TrustedDocuments is a file of the function's package that has the only
// documents which may run (see package trusted); without, any may.
var TrustedDocuments = Setting{"TRUSTED_DOCUMENTS", ""}
