package costmodel

import "subwire/scripts/internal/billing"

// appSyncUnit is the size of one billed real-time update of AppSync, in bytes ("AWS
// AppSync pricing").
const appSyncUnit = 5 << 10

// AppSync is the bill of one event there: its mutation, and an update for each
// subscriber. It leaves out what its resolvers use.
func AppSync(p billing.Prices, subscribers, frameBytes int) billing.Bill {
	return billing.Bill{
		{Service: "AppSync", What: "mutations", Quantity: 1, Price: p.AppSyncQuery},
		{Service: "AppSync", What: "updates", Quantity: float64(subscribers) * billing.Units(frameBytes, appSyncUnit), Price: p.AppSyncUpdate},
	}
}
