package billing

// Price is the price of a number of units.
type Price struct {
	USD    float64
	Per    float64 // units
	Unit   string
	Source string // title of the page that states it
}

// Of is the price of the units, in USD.
func (p Price) Of(units float64) float64 { return units / p.Per * p.USD }

// Prices of one region.
type Prices struct {
	Message, ConnectionMinute, Request         Price // API Gateway
	Invocation, GBSecond                       Price // Lambda
	Standard, FIFO                             Price // SQS
	Write, Read                                Price // DynamoDB
	Log, Metric                                Price // CloudWatch
	Transfer                                   Price // out to the internet
	AppSyncUpdate, AppSyncQuery, AppSyncMinute Price // for comparison
	VCPUHour, MemoryHour                       Price // Fargate
	BalancerHour, BalancerUnit                 Price // an Application Load Balancer
	Address, Secret                            Price // public IPv4 addresses; Secrets Manager
}

const million = 1e6

const (
	gatewayPage  = "Amazon API Gateway pricing"
	lambdaPage   = "AWS Lambda pricing"
	queuePage    = "Amazon SQS pricing"
	dynamoDBPage = "Amazon DynamoDB pricing for on-demand capacity"
	logsPage     = "Amazon CloudWatch pricing"
	transferPage = "Amazon EC2 on-demand pricing, data transfer"
	appSyncPage  = "AWS AppSync pricing"
	fargatePage  = "AWS Fargate pricing"
	balancerPage = "Elastic Load Balancing pricing"
	vpcPage      = "Amazon VPC pricing"
	secretsPage  = "AWS Secrets Manager pricing"
)

// USEast1 is the price list of us-east-1 for arm64 functions, without free tiers and
// volume discounts, as collected in November 2026. Prices change: compare them with
// the pages before you rely on them.
func USEast1() Prices {
	return Prices{
		Message:          Price{1.00, million, "message of 32 KB", gatewayPage},
		ConnectionMinute: Price{0.25, million, "connection minute", gatewayPage},
		Request:          Price{1.00, million, "HTTP API request of 512 KB", gatewayPage},
		Invocation:       Price{0.20, million, "invocation", lambdaPage},
		GBSecond:         Price{0.0000133334, 1, "GB second, arm64", lambdaPage},
		Standard:         Price{0.40, million, "request of 64 KB, standard queue", queuePage},
		FIFO:             Price{0.50, million, "request of 64 KB, FIFO queue", queuePage},
		Write:            Price{0.625, million, "write request unit", dynamoDBPage},
		Read:             Price{0.125, million, "read request unit", dynamoDBPage},
		Log:              Price{0.50, 1e9, "byte of logs", logsPage},
		Metric:           Price{0.30, 30 * 24, "custom metric and hour in which it is sent", logsPage},
		Transfer:         Price{0.09, 1e9, "byte sent to the internet", transferPage},
		AppSyncUpdate:    Price{2.00, million, "real-time update of 5 KB", appSyncPage},
		AppSyncQuery:     Price{4.00, million, "query or mutation", appSyncPage},
		AppSyncMinute:    Price{0.08, million, "connection minute", appSyncPage},
		VCPUHour:         Price{0.03238, 1, "vCPU hour, Linux on arm64", fargatePage},
		MemoryHour:       Price{0.00356, 1, "GB hour, Linux on arm64", fargatePage},
		BalancerHour:     Price{0.0225, 1, "hour of an Application Load Balancer", balancerPage},
		BalancerUnit:     Price{0.008, 1, "LCU hour", balancerPage},
		Address:          Price{0.005, 1, "hour of a public IPv4 address", vpcPage},
		Secret:           Price{0.40, 30 * 24, "hour of a secret", secretsPage},
	}
}
