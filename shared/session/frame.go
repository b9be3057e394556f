package session

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"subwire/shared/pubsub"
)

// Frame is one message of a client as the gateway received it, still encoded.
type Frame struct {
	ConnectionID string
	Data         []byte
	At           time.Time // when the gateway received it
	ID           string    // unique; "" when the gateway gave none
	Address      string    // of the client, as IP address

	sent pubsub.Sent // what the store keeps of the frame, once it is needed
	paid bool        // the operation that it begins, when an earlier look found no room
}

// sentBy returns what the store keeps of a frame: a hash of its id, as it is stored
// for each operation.
func sentBy(f Frame) pubsub.Sent {
	hash := sha256.Sum256([]byte(f.ID))
	return pubsub.Sent{At: f.At, ID: base64.RawURLEncoding.EncodeToString(hash[:6])}
}
