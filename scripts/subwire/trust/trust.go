// Package trust is subwire trust: it writes operations.json, the list of documents
// that a deployment lets run, from files with one document each.
package trust

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"subwire/shared/trusted"
)

func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "trust FILE...", Short: "Write operations.json, the documents that a deployment lets run",
		Args: cobra.MinimumNArgs(1),
		Long: `Write operations.json, the documents that a deployment lets run, from files with
one document each. A client must send a document byte for byte as it is in its
file, without the line feed at the end, or its id.`,
		Example: "  subwire trust clients/*.graphql > operations.json",
		RunE:    func(cmd *cobra.Command, paths []string) error { return write(cmd.OutOrStdout(), paths) }}
	cmd.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveDefault) // files
	return cmd
}

func write(w io.Writer, paths []string) error {
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
