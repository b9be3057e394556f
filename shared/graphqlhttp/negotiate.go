package graphqlhttp

import (
	"mime"
	"strconv"
	"strings"
)

// The media types of a response.
const (
	graphQLType = "application/graphql-response+json"
	jsonType    = "application/json"
)

// match is how well a media type fits an Accept header.
type match struct {
	quality   float64 // 0 for not at all
	precision int     // of the range that set the quality: 2 for type/subtype, 1 for type/*, 0 for */*
}

// negotiate picks the media type that the client prefers (RFC 9110 section
// 12.5.1), and application/json with false when it accepts neither. At equal
// quality the one that is named wins, graphql-response+json if both are: its
// status codes say more. A client that names neither, or has no Accept, is
// taken for one that knows nothing of it.
func negotiate(accept string) (media string, ok bool) {
	if strings.TrimSpace(accept) == "" {
		return jsonType, true
	}
	graphQL, plain := match{precision: -1}, match{precision: -1}
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		q, valid := quality(params)
		if err != nil || !valid || !isUTF8(params["charset"]) {
			continue // a range that cannot be understood accepts nothing
		}
		graphQL.apply(graphQLType, name, q)
		plain.apply(jsonType, name, q)
	}
	named := graphQL.precision == 2 && graphQL.quality == plain.quality
	if graphQL.quality > plain.quality || named && graphQL.quality > 0 {
		return graphQLType, true
	}
	return jsonType, plain.quality > 0
}

// apply takes the quality of a range that media falls into, if none more
// precise was there before.
func (m *match) apply(media, name string, q float64) {
	precision := -1
	switch name {
	case media:
		precision = 2
	case "application/*":
		precision = 1
	case "*/*":
		precision = 0
	}
	if precision > m.precision || precision >= 0 && precision == m.precision && q > m.quality {
		*m = match{q, precision}
	}
}

// quality reads the parameter q, which is 1 when it is absent.
func quality(params map[string]string) (q float64, valid bool) {
	text, ok := params["q"]
	if !ok {
		return 1, true
	}
	q, err := strconv.ParseFloat(text, 64)
	return q, err == nil && q >= 0 && q <= 1
}
