package topology

// Outputs of a deployed stack, which other programs look up by these keys.
const (
	OutputHTTPURL = "HttpUrl" // of GraphQL over HTTP
	OutputWSURL   = "WsUrl"   // of the WebSocket API
	OutputApp     = "App"     // name of the product

	OutputEventsURL = "EventsUrl" // of the route that takes events, if there is one
	OutputCanary    = "Canary"    // minutes between the deployment's tries of itself, if it tries

	OutputHostURL   = "HostUrl"  // of the host's sockets, if there is one
	OutputAPISocket = "ApiWsUrl" // of the WebSocket API's, where that is not the clients'

	OutputFanoutGroups = "FanoutGroups" // value of the setting FanoutGroups, for tools that plan batches
)

// queueOutputs are the keys of the queues' URLs, by logical name.
var queueOutputs = map[string]string{
	Fanout.Name:           "QueueFanout",
	FanoutDead.Name:       "QueueFanoutDead",
	Retries.Name:          "QueueRetries",
	RetriesDead.Name:      "QueueRetriesDead",
	ConnectionChecks.Name: "QueueConnectionChecks",
	StreamDead.Name:       "QueueStreamDead",
	Events.Name:           "QueueEvents",
	EventsDead.Name:       "QueueEventsDead",
}
