package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"subwire/shared/node"
)

// listed is a subscription of one of the process's sockets.
type listed struct {
	Topic      string `json:"topic"`
	Connection string `json:"connection"`
	Operation  string `json:"operation"`
}

// withListed answers GET /@connections/ID for the node's own id with the subscriptions of
// its sockets, of one topic with ?topic=T: they are in no table. A node that had its address
// before it has gone: 410. Of a node elsewhere it knows nothing: 421, as when the question
// came through a load balancer. It is signed as posts are.
func (s *server) withListed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutPrefix(r.URL.Path, node.ManagementPath)
		at, isNode := node.Parse(id)
		if r.Method != http.MethodGet || !ok || !isNode || at.Socket != "" {
			next.ServeHTTP(w, r)
			return
		}
		if _, ok := s.verify(r); !ok {
			http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
			return
		}
		switch self := s.sockets.Self(); {
		case at.HostPort != self.HostPort:
			http.Error(w, http.StatusText(http.StatusMisdirectedRequest), http.StatusMisdirectedRequest)
			return
		case at.Boot != self.Boot:
			http.Error(w, http.StatusText(http.StatusGone), http.StatusGone)
			return
		}
		all := []listed{}
		for _, sub := range s.host.Listing.Listed(r.URL.Query().Get("topic")) {
			all = append(all, listed{Topic: sub.Topic, Connection: sub.ConnectionID, Operation: sub.OperationID})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"subscriptions": all}) // the reader may have gone
	})
}
