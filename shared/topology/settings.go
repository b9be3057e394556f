package topology

import (
	"strings"
	"time"

	"subwire/shared/edge"
	"subwire/shared/origins"
	"subwire/shared/transportws"
)

// The modes of Auth.
const (
	Anonymous = "anonymous" // everybody is the zero Viewer; tokens are not looked at
	JWT       = "jwt"       // everybody needs a token
)

// The modes of HandshakeToken.
const (
	TokenOff      = "off"      // tokens are not looked at before connection_init
	TokenOptional = "optional" // who sends one must send a good one
	TokenRequired = "required" // without a good one there is no socket
)

// Groups of functions that share settings, as the table names them.
const (
	authenticate = "connect message graphql host"                      // check tokens; connect only those of handshakes
	serve        = "message graphql host"                              // run clients' operations and check their tokens
	prepare      = "message graphql sender host " + delivering         // prepare operations
	reach        = "message disconnect sender " + delivering           // post to sockets of others, or close them
	know         = "message graphql stream sender publish canary host" // know the product

	// delivering stands for stream, which gets the setting only if Function.Delivers.
	delivering = "delivering"
)

// The settings, with all there is to say of each but its use, which is
// topology.MaxTokens.In(values). A row has the environment variable, the default, the
// allowed values, the functions that get it, and its meaning for docs/settings.md,
// which go run ./scripts/docs/settings writes.
var (
	// App's values are checked by boot, which knows the products.
	App = setting("APP", "chat", anyText(), know,
		"the product that runs, one of those in `shared/products`; a deployment sets it with `-c app=NAME`")

	Auth = setting("AUTH", Anonymous, oneOf(Anonymous, JWT), authenticate+" sender "+delivering,
		"or `jwt`: everybody needs a token")
	JWTIssuer    = setting("JWT_ISSUER", "", anyText(), authenticate, "claim `iss`; required with `jwt`")
	JWTAudience  = setting("JWT_AUDIENCE", "", anyText(), authenticate, "must be in claim `aud`; required with `jwt`")
	JWTAlgorithm = setting("JWT_ALGORITHM", "RS256", oneOf(Algorithms()...), authenticate,
		"the only one accepted: `"+strings.Join(Algorithms(), "`, `")+"`")
	JWTKeysURL = setting("JWT_JWKS_URL", "", by(keysURL), authenticate,
		"where the issuer publishes its keys; or else `JWT_KEY`")
	JWTKey = setting("JWT_KEY", "", anyText(), authenticate,
		"public key in PEM, secret for `HS256`, or `ssm:NAME` of a parameter with either")
	JWTLeeway = setting("JWT_LEEWAY", "30s", duration(0, 5*time.Minute), authenticate,
		"by which the issuer's clock may differ")
	HandshakeToken = setting("HANDSHAKE_TOKEN", TokenOff, oneOf(TokenOff, TokenOptional, TokenRequired), "connect host",
		"with `jwt`, whether a socket needs a token before it opens: `off`, `optional` or `required`, see "+
			"[authentication.md](authentication.md)")
	CanaryToken = setting("CANARY_TOKEN", "", anyText(), "canary",
		"with `jwt`, the token of the [canary](operations.md#canary): in a deployment `ssm:NAME` of a parameter with it")
	Claims = setting("CLAIMS", "", by(claims), authenticate,
		"names of claims, as in `tenant,role`, that are kept of a token in addition to the product's own: 20 at most with these")
	// The default has the names that Apollo's clients use.
	InitMembers = setting("INIT_MEMBERS", "apollographql-client-name,apollographql-client-version",
		by(members), "message host",
		"what is stored of an init payload and its headers, for operators to see; a name that is a secret's, such"+
			" as `password`, is refused")

	AllowedOrigins = setting("ALLOWED_ORIGINS", origins.Any, by(origins.ParseList), "connect graphql canary host",
		"origins that may open a socket or call over HTTP, such as `https://chat.example.com`, "+
			"`http://localhost:3000` or an app's `capacitor://localhost`; put into the form in which browsers send "+
			"them. What none sends is refused: a path or closing slash, `https://*.example.com`, `null`; so is `*` "+
			"among others")
	RequireOrigin = setting("REQUIRE_ORIGIN", "false", boolean(), "connect host",
		"whether sockets without an origin are refused: all but browsers'")
	EdgeSecret = setting("EDGE_SECRET_SHA256", "", by(edge.Parse), "connect message graphql host",
		"behind CloudFront, see [SECURITY.md](../SECURITY.md): "+
			"of the secret without which nobody is answered, or of two with a comma between them while it "+
			"[changes](operations.md#rotating-keys)").hide()

	HostURL = setting("HOST_URL", "", by(hostURL), reach,
		"where functions reach the hosts that hold sockets besides API Gateway; without it there are none")
	HostKey = setting("HOST_KEY", "", anyText(), reach+" host",
		"secret with which requests to and among hosts are signed, or `ssm:NAME` of a parameter with it;"+
			" required with `HOST_URL`").hide()

	// SQS's longest delay is 15 minutes.
	InitTimeout = setting("INIT_TIMEOUT", "10s", duration(time.Second, 14*time.Minute), "connect host",
		"from `$connect` to `connection_init`")
	MaxConnections = setting("MAX_CONNECTIONS", "0", number(0, 1000), "connect message host",
		"at once, per viewer with a token, and per address (IPv6: per /64) of those whose token is to"+
			" come or that are anonymous; 0 for any number; above 240, some are refused a little below the bound; "+
			"what was counted before a change, or by another release, may not count")
	MaxSubscriptions = setting("MAX_SUBSCRIPTIONS", "100", number(1, 1000), "message host",
		"operations at once, per connection; fewer if their ids and topics have more than 84 bytes each, on average")
	MaxFramesPerSecond = setting("MAX_FRAMES_PER_SECOND", "50", number(1, 10_000), "message host",
		"that one process takes of a connection, after a burst of four seconds' worth; beyond: 4429")
	// SECURITY.md has the arithmetic of the default; package allowance counts.
	MaxCostPerMinute = setting("MAX_COST_PER_MINUTE", "20000", number(0, 1_000_000_000),
		"connect message graphql stream host",
		"millionths of a dollar that one address, and one viewer with a token, may make you pay in a minute, over"+
			" all processes; beyond: `LIMIT_EXCEEDED`, 429 over HTTP and at the handshake, 4429 for who goes on; 0 "+
			"for any number. The default is enough for 100 people behind one address; raise it for more, and where "+
			"many listen to what one address writes")
	MaxInitBytes = setting("MAX_INIT_BYTES", "8192", number(2, MaxFrameBytes), "message host",
		"of the payload of `connection_init`; beyond: 4400")
	MaxOperationIDBytes = setting("MAX_OPERATION_ID_BYTES", "128", number(1, transportws.MaxIDBytes), "message host",
		"of the id that a client gives an operation; beyond: 4400")
	MaxOfTopic = setting("MAX_OPERATIONS_PER_TOPIC", "10", number(1, 1000), "message graphql stream publish host",
		"subscriptions of one topic, per connection; beyond: `LIMIT_EXCEEDED`, also when more were begun at once:"+
			" those end at the next event")
	MaxReplayBytes = setting("MAX_REPLAY_BYTES", "1048576", number(MaxMessageBytes, 64<<20), "message host",
		"replayed to one operation; a connection gets twice as many a minute; beyond: `REPLAY_LIMIT`")

	MaxDocumentBytes = setting("MAX_DOCUMENT_BYTES", "16384", number(1, MaxBodyBytes), prepare,
		"of a document; beyond this and the following: `LIMIT_EXCEEDED`")
	MaxTokens = setting("MAX_TOKENS", "2000", number(1, 100_000), prepare, "of a document")
	MaxDepth  = setting("MAX_DEPTH", "16", number(1, 100), prepare,
		"of fields in fields, through fragments; `ofType` does not count")
	MaxFields = setting("MAX_FIELDS", "500", number(1, 100_000), prepare,
		"fields and fragments selected, with each fragment counted where it is spread")
	MaxAliases    = setting("MAX_ALIASES", "30", number(0, 100_000), prepare, "likewise")
	MaxDirectives = setting("MAX_DIRECTIVES", "50", number(0, 100_000), prepare, "likewise")
	MaxListItems  = setting("MAX_LIST_ITEMS", "100", number(0, 100_000), prepare,
		"of all lists and objects written in a document, and of each list in its variables")
	MaxComplexity = setting("MAX_COMPLEXITY", "10000", number(1, 10_000_000), prepare,
		"fields to resolve: those in a list count as often as its `limit`, `first` or `last` says, or 10 times; "+
			"those of introspection exactly")
	MaxVariablesBytes = setting("MAX_VARIABLES_BYTES", "16384", number(2, MaxBodyBytes), prepare,
		"of the variables as JSON")
	MaxMutations = setting("MAX_MUTATIONS", "5", number(1, 100), prepare, "root fields of a mutation")
	// 256 read units.
	MaxReadBytes = setting("MAX_READ_BYTES", "1048576", number(16<<10, 100<<20), prepare,
		"that all fields of an operation read together; a page of the longest messages fits")
	MaxResultBytes = setting("MAX_RESULT_BYTES", "1000000", number(1000, LargestResult), prepare,
		"of a result, and 128 KB over WebSocket; beyond: `PAYLOAD_TOO_LARGE`")
	// One read unit; an item has 400 KB.
	MaxSubscriptionBytes = setting("MAX_SUBSCRIPTION_BYTES", "4096", number(100, 100<<10), prepare,
		"of a subscription's document, name and variables, which are stored")
	MaxSubscriptionFields = setting("MAX_SUBSCRIPTION_FIELDS", "100", number(1, 100_000), prepare,
		"of a subscription's document, counted as above: it is executed for each event")

	TrustedDocuments = setting("TRUSTED_DOCUMENTS", "", anyText(), serve,
		"file of the only documents that may run; a deployment sets it with `-c trustedDocuments=true`, see below")
	Introspection = setting("INTROSPECTION", "true", boolean(), serve,
		"whether `__schema` and `__type` are answered").inProduction("false")
	GraphiQL = setting("GRAPHIQL", "true", boolean(), "graphql",
		"whether a browser that opens `/graphql` gets GraphiQL").inProduction("false")

	Fast = setting("FAST", "false", boolean(), "message graphql stream publish host",
		"whether new rows are announced by their writer, [before the stream](how-it-works.md#the-fast-way) brings them;"+
			" only of a product that says `App.Fast`")
	// While fanout.fifo has batches, a change may break the order once.
	FanoutGroups = setting("FANOUT_GROUPS", "4", powerOfTwo(1, 256), "message graphql stream publish host",
		"message groups per topic: a power of two; change it while `fanout.fifo` is empty")
	// 80 % of "requests per second" in "Amazon API Gateway quotas", so that clients have room.
	APIRate = setting("API_RATE", "8000", number(0, 1_000_000), "sender "+delivering,
		"posts a second of all senders together, while API Gateway refuses some, and a fifth more while it does not;"+
			" set it to 80 % of the account's [quota](operations.md#quotas); 0 for no limit")
	// Fewer than SENDER_WORKERS, so that an event's posts are all under way at once. Beyond,
	// the queue costs little of a push.
	Direct = setting("DIRECT", "50", number(0, 100), "stream",
		"subscriptions up to which `stream` delivers an event itself, without `fanout.fifo` and `sender`, for "+
			"[less](cost.md#a-million-pushes); more would hold up the others of a shard for longer;"+
			" 0 for none")
	// The release before does not read parts.
	LargeTopics = setting("LARGE_TOPICS", "false", boolean(), "message stream",
		"whether large topics are stored in [parts](operations.md#large-topics): set it once this release runs everywhere;"+
			" before a rollback unset it, and wait two and a half hours")
	// Twice as many sockets; a Lambda environment has 1,024 file descriptors.
	SenderWorkers = setting("SENDER_WORKERS", "64", number(1, 450), "sender host "+delivering,
		"posts in flight per process, and as many slow ones")
	LogLevel = setting("LOG_LEVEL", "info", level(), "connect message disconnect graphql stream sender publish canary host",
		"`debug`, `info`, `warn` or `error`")
	Metrics = setting("METRICS", "true", boolean(), "connect message disconnect graphql stream sender publish canary host",
		"whether functions write [metrics](operations.md#metrics) to their logs")
)
