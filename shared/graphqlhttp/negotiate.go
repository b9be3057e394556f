package graphqlhttp

import (
	"strings"

	"subwire/shared/accept"
)

// The media types of a response.
const (
	graphQLType = "application/graphql-response+json"
	jsonType    = "application/json"
)

// negotiate picks the media type that the client prefers, or application/json with
// false if it accepts neither. At equal weight the one that is named wins, and
// graphql-response+json if both are: its status codes say more. A client that names
// neither, or has no Accept, is assumed not to know that type.
func negotiate(header string) (media string, ok bool) {
	if strings.TrimSpace(header) == "" {
		return jsonType, true
	}
	graphQL, plain := accept.Media(header, graphQLType), accept.Media(header, jsonType)
	named := graphQL.Named && graphQL.Weight == plain.Weight
	if graphQL.Weight > plain.Weight || named && graphQL.Weight > 0 {
		return graphQLType, true
	}
	return jsonType, plain.Weight > 0
}
