// Command fn is the function that the tests run. The payload says what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type request struct {
	Do   string `json:"do"`
	Text string `json:"text"` // an address for dial and hold
}

type response struct {
	Text      string   `json:"text,omitempty"`
	PID       int      `json:"pid"`
	RequestID string   `json:"requestId"`
	ARN       string   `json:"arn"`
	Left      int64    `json:"left"` // milliseconds until the deadline
	TraceID   string   `json:"traceId"`
	Env       []string `json:"env,omitempty"`
}

// connections stay open until the process ends; the tests watch them.
var connections []net.Conn

func main() {
	switch os.Getenv("AT_INIT") {
	case "exit":
		fmt.Println("no table, no life")
		os.Exit(3)
	case "report":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		http.Post(url, "application/json", strings.NewReader(`{"errorMessage":"no table","errorType":"Config"}`))
		os.Exit(1)
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, r request) (response, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	out := response{Text: r.Text, PID: os.Getpid(), RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn,
		Left: time.Until(deadline).Milliseconds(), TraceID: os.Getenv("_X_AMZN_TRACE_ID")}
	switch r.Do {
	case "env":
		out.Env = os.Environ()
	case "error":
		return out, errors.New(r.Text)
	case "panic":
		panic(r.Text)
	case "exit":
		os.Exit(0)
	case "large":
		out.Text = strings.Repeat("x", 7<<20)
	case "print":
		fmt.Print(r.Text)
	case "hang":
		time.Sleep(time.Hour)
	case "dial", "hold", "deaf", "spin":
		if r.Do == "deaf" {
			signal.Ignore(syscall.SIGTERM)
		}
		c, err := net.Dial("tcp", r.Text)
		if err != nil {
			return out, err
		}
		connections = append(connections, c)
		switch letGo := make(chan struct{}); r.Do {
		case "spin":
			go func() {
				c.Read(make([]byte, 1))
				close(letGo)
			}()
			for open := true; open; {
				select {
				case <-letGo:
					open = false
				default:
				}
			}
		case "hold", "deaf":
			c.Read(make([]byte, 1)) // until the test lets go
		}
	}
	return out, nil
}
