package main

import (
	"os"
	"testing"
)

func TestThePagesAreCurrent(t *testing.T) {
	t.Parallel()
	for _, table := range tables() {
		page, err := os.ReadFile("../../../" + table.page)
		if err != nil {
			t.Fatal(err)
		}
		want, err := table.in(string(page))
		if err != nil {
			t.Fatal(err)
		}
		if want != string(page) {
			t.Errorf("%s is not what the code says: go run ./scripts/docs/settings", table.page)
		}
	}
}
