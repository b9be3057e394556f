package session

import (
	"context"
	"fmt"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// price is what a frame costs, without the operation it begins and without ending a
// connection that is refused for it.
func (s *Session) price(bytes int, message transportws.Message) float64 {
	units := allowance.Frame(bytes)
	switch message.Type {
	case transportws.TypeConnectionInit:
		units += allowance.Init
		if s.MaxConnections > 0 {
			units += allowance.Counted
		}
	case transportws.TypePing:
		units += allowance.Sent(len(message.Payload))
	case transportws.TypeComplete:
		units += allowance.Stop
	}
	return units
}

// listed is what a union costs beyond a subscription to one topic: its other rows.
func listed(c pubsub.Connection, x pubsub.Executable) float64 {
	const around = 256 // keys, attribute names, times and ids
	row := around + len(x.Filter) + len(c.Viewer.ID) + len(c.Viewer.Claims)
	for _, topic := range x.Union {
		row += len(topic)
	}
	return float64(len(x.Union)-1) * allowance.Listed(row)
}

// draw draws what an operation costs from the allowances of its client.
func (s *Session) draw(ctx context.Context, f Frame, v pubsub.Viewer, units float64) error {
	if s.Allowance.Draw(ctx, units, allowance.Address(f.Address), allowance.Viewer(v.ID)) == allowance.Within {
		return nil
	}
	return pubsub.Refusal(pubsub.CodeLimit, fmt.Sprintf(
		"What may be asked for in a minute is spent; try again in %d seconds.", s.Allowance.Again()))
}
