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

	documentLimits = []Setting{MaxDocumentBytes, MaxTokens, MaxDepth, MaxFields, MaxAliases, MaxDirectives,
		MaxListItems, MaxComplexity, MaxVariablesBytes}
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

// TrustedDocuments is a file of the function's package that has the only
// documents which may run (see package trusted); without, any may.
var TrustedDocuments = Setting{"TRUSTED_DOCUMENTS", ""}
