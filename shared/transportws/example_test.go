package transportws_test

import (
	"fmt"
	"time"

	"subwire/shared/transportws"
)

func ExampleState_Receive() {
	deadline := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	state := transportws.State{InitDeadline: deadline} // from the stored connection

	m, err := transportws.Decode([]byte(`{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch e := state.Receive(m, deadline).(type) {
	case transportws.Start:
		fmt.Println("run", e.Payload.Query)
	case transportws.Close:
		fmt.Printf("%s\n", transportws.AppendConnectionError(nil, e.CloseError))
	}
	// Output: {"type":"connection_error: 4401 Unauthorized","payload":{"code":4401,"message":"Unauthorized","retry":false}}
}

func ExampleDecode() {
	_, err := transportws.Decode([]byte(`{"type":"complete"}`))
	fmt.Println(err)
	// Output: close 4400: complete has no id, which is a string
}

func ExampleAppendNext() {
	frame := transportws.AppendNext(nil, "1", []byte(`{"data":{"a":1}}`))
	fmt.Printf("%s\n", frame)
	// Output: {"id":"1","type":"next","payload":{"data":{"a":1}}}
}

func ExampleSubprotocol() {
	fmt.Println(transportws.Subprotocol("graphql-ws, graphql-transport-ws"))
	// Output: graphql-transport-ws true
}
