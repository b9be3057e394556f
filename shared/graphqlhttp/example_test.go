package graphqlhttp_test

import (
	"fmt"

	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
)

func ExampleDecode() {
	op, err := graphqlhttp.Decode(graphqlhttp.Request{
		Method:      "POST",
		ContentType: "application/json",
		Body:        []byte(`{"query":"{ chats { id } }","variables":null}`),
	}, 1<<20)
	fmt.Println(op.Document, err)
	// Output: { chats { id } } <nil>
}

func ExampleRespond() {
	invalid := pubsub.Errors{pubsub.NewError(pubsub.CodeParse, "Syntax Error")}
	r := graphqlhttp.Respond("application/graphql-response+json", nil, invalid)
	fmt.Println(r.Status, string(r.Body))
	// Output: 400 {"errors":[{"message":"Syntax Error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}
}

func ExampleCORS() {
	header := graphqlhttp.CORS([]string{"https://app.example"}, "https://app.example", "POST")
	fmt.Println(header["Access-Control-Allow-Origin"])
	// Output: https://app.example
}
