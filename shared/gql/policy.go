package gql

import (
	"encoding/json"
	"errors"
	"slices"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Policy says what a viewer may do with a chat. It is asked for each query, mutation
// and subscribe, and again for each event of a subscription.
type Policy interface {
	MayRead(v pubsub.Viewer, chatID string) bool
	MayWrite(v pubsub.Viewer, chatID string) bool
}

// PolicyOf is the default for a mode of authentication (topology.Auth): without tokens
// there is nothing to go by.
func PolicyOf(mode string) Policy {
	if mode == topology.Anonymous {
		return Open{}
	}
	return ByClaims{}
}

// Open lets everybody do everything.
type Open struct{}

// MayRead implements Policy.
func (Open) MayRead(pubsub.Viewer, string) bool { return true }

// MayWrite implements Policy.
func (Open) MayWrite(pubsub.Viewer, string) bool { return true }

// ByClaims allows a viewer what the claims chats_read and chats_write of its token
// list: chat ids, or "*" for every chat. Neither implies the other, and the anonymous
// viewer may do nothing.
type ByClaims struct{}

// MayRead implements Policy.
func (ByClaims) MayRead(v pubsub.Viewer, chatID string) bool {
	return lists(chatClaims(v).Read, chatID)
}

// MayWrite implements Policy.
func (ByClaims) MayWrite(v pubsub.Viewer, chatID string) bool {
	return lists(chatClaims(v).Write, chatID)
}

// viewerClaims are the claims that the chat's schema knows.
type viewerClaims struct {
	Name        string
	Read, Write json.RawMessage
}

// chatClaims reads the claims of a viewer. A claim of the wrong type counts as absent.
func chatClaims(v pubsub.Viewer) viewerClaims {
	var members map[string]json.RawMessage
	if v.ID == "" || json.Unmarshal([]byte(v.Claims), &members) != nil {
		return viewerClaims{}
	}
	c := viewerClaims{Read: members["chats_read"], Write: members["chats_write"]}
	if json.Unmarshal(members["name"], &c.Name) != nil {
		c.Name = ""
	}
	return c
}

// lists reports whether a claim, a text or a list of texts, names the chat.
func lists(claim json.RawMessage, chatID string) bool {
	var one string
	var many []string
	if json.Unmarshal(claim, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(claim, &many) != nil {
		return false
	}
	return slices.Contains(many, chatID) || slices.Contains(many, "*")
}

// errForbidden says nothing about the chat, not even whether it exists.
func errForbidden(action string) error {
	return Refuse(pubsub.CodeForbidden, errors.New("You may not "+action+" this chat."))
}
