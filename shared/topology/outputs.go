package topology

// Outputs of a deployed stack, which other programs look up by these keys.
const (
	OutputHTTPURL = "HttpUrl" // of GraphQL over HTTP
	OutputWSURL   = "WsUrl"   // of the WebSocket API
	OutputApp     = "App"     // name of the product

	OutputFanoutGroups = "FanoutGroups" // value of the setting FanoutGroups, for tools that plan batches
)

// QueueOutputs are the keys of the queues' URLs, by logical name.
var QueueOutputs = map[string]string{
	Fanout.Name:           "QueueFanout",
	FanoutDead.Name:       "QueueFanoutDead",
	Retries.Name:          "QueueRetries",
	RetriesDead.Name:      "QueueRetriesDead",
	ConnectionChecks.Name: "QueueConnectionChecks",
	StreamDead.Name:       "QueueStreamDead",
}
