package chat

import "subwire/shared/topology"

// Messages has the messages of all chats. One is written once, so only its INSERT is an
// event.
var Messages = topology.Table{Name: "messages", Key: "chatId", Sort: "id",
	Stream: true, Events: []string{"INSERT"}, Kept: true}

// Product is the chat as topology needs it.
var Product = topology.Product{Name: "chat", Tables: []topology.Table{Messages}, Paths: []string{"/", "/c/{chat+}"}}
