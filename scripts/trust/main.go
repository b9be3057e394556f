// Command trust writes operations.json, the documents that a deployment lets
// run, from files with one document each:
//
//	go run ./scripts/trust clients/*.graphql > operations.json
//
// A client must send a document byte for byte as it is in its file, without the
// line feed at the end, or its id.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"subwire/shared/trusted"
)

func main() {
	if err := write(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, paths []string) error {
	if len(paths) == 0 {
		return fmt.Errorf("usage: trust FILE.graphql ... > operations.json")
	}
	documents := map[string]string{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		document := strings.TrimSuffix(string(raw), "\n")
		if document == "" {
			return fmt.Errorf("%s is empty", path)
		}
		documents[trusted.ID(document)] = document
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(documents)
}
