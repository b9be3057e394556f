// Command rows is a stream function that says what it gets.
package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(e events.DynamoDBEvent) {
		for _, r := range e.Records {
			_, table, _ := strings.Cut(r.EventSourceArn, ":table/")
			table, _, _ = strings.Cut(table, "/")
			fmt.Println(table, r.EventName, len(r.Change.OldImage), len(r.Change.NewImage))
		}
	})
}
