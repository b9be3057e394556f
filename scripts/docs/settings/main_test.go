package main

import (
	"os"
	"testing"
)

func TestThePageIsCurrent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := withTable(string(page))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(page) {
		t.Error("docs/settings.md is not what topology says: go run ./scripts/docs/settings")
	}
}
