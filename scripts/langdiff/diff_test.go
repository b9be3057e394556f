// Package langdiff compares the GraphQL of shared/gql with graphql-js: the
// same documents and values go to both, for one schema with resolvers that
// exist twice. docs/graphql.md says what is compared and what differs on
// purpose.
package langdiff

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("../clients/node_modules/graphql"); err != nil {
		os.Stderr.WriteString("langdiff: graphql-js is not installed; run make test, or npm ci in scripts/clients\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Every case of the tables has the verdict, the data and the places of errors
// that graphql-js has, but for the rows of testdata/differences.json; and each
// row there has a case.
func TestTheLanguageIsThatOfGraphQLJS(t *testing.T) {
	t.Parallel()
	e, rows := newExecutor(t), readDifferences(t)
	met := make([]bool, len(rows))
	for chapter, cases := range map[string][]namedQuestion{
		"lexing": lexing, "grammar": grammar, "choosing": choosing, "validation": validation, "matrix": matrix(), "variables": variables,
		"execution": execution, "introspection": introspection, "types": typeQueries(), "tools": introspectionQueries(t),
	} {
		t.Run(chapter, func(t *testing.T) {
			questions := make([]question, len(cases))
			for i, c := range cases {
				questions[i] = question{Document: c.document, Operation: c.operation, Variables: c.variables}
			}
			sorted := chapter == "introspection" || chapter == "types" || chapter == "tools"
			counts := map[aspect]int{}
			for i, their := range theirs(t, questions) {
				our := ours(e, questions[i])
				found := compare(their, our, sorted)
				if found == "" {
					continue
				}
				name := chapter + "/" + cases[i].name
				if row := intended(rows, name, found, their, our); row >= 0 {
					met[row] = true
					continue
				}
				counts[found]++
				t.Error(report(name, found, questions[i], their, our))
			}
			t.Logf("%d cases; unintended differences: %v", len(cases), counts)
		})
	}
	for i, row := range rows {
		if !met[i] {
			t.Errorf("testdata/differences.json: %s no longer differs in %q; remove the row", row.Case, row.Aspect)
		}
	}
}
