// Package langdiff compares the GraphQL of shared/gql with graphql-js: both get the
// same documents and values, for one schema whose resolvers exist twice.
// docs/graphql.md says what is compared and what differs on purpose.
package langdiff

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"subwire/shared/gql"
)

var (
	all   = flag.Bool("all", false, "report every difference, and not five of each kind")
	seed  = flag.Uint64("seed", 1, "of the first generated operation")
	count = flag.Int("count", 4000, "of operations to generate")
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("../clients/node_modules/graphql"); err != nil {
		os.Stderr.WriteString("langdiff: graphql-js is not installed; run make test, or npm ci in scripts/clients\n")
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// Every case of the tables has graphql-js's verdict, data and places of errors,
// except for the rows of testdata/differences.json; each row there has a case.
func TestTheLanguageIsThatOfGraphQLJS(t *testing.T) {
	t.Parallel()
	e, rows := newExecutor(t), readDifferences(t)
	met := make([]bool, len(rows))
	for chapter, cases := range map[string][]namedQuestion{
		"lexing": lexing, "grammar": grammar, "choosing": choosing, "validation": validation, "matrix": matrix(), "variables": variables,
		"execution": execution, "results": results(t), "introspection": introspection, "types": typeQueries(), "tools": introspectionQueries(t),
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
				if row := intended(rows, name, questions[i], found, their, our); row >= 0 {
					met[row] = true
					continue
				}
				counts[found]++
				if *all || counts[found] <= 5 {
					t.Error(report(name, found, questions[i], their, our))
				}
			}
			if len(counts) > 0 {
				t.Errorf("%d cases; unintended differences: %v", len(cases), counts)
			}
		})
	}
	for i, row := range rows {
		if !met[i] {
			t.Errorf("testdata/differences.json: %s no longer differs in %q; remove the row", row.Case, row.Aspect)
		}
	}
}

// Generated operations have graphql-js's verdicts. Most are valid. A difference is
// reported with its seed and made as short as possible.
func TestGeneratedOperations(t *testing.T) {
	t.Parallel()
	e, rows, types := newExecutor(t), readDifferences(t), newBuilder(t).types
	operations, questions := make([]generated, *count), make([]question, *count)
	for i := range operations {
		operations[i] = generate(types, *seed+uint64(i))
		questions[i] = operations[i].question()
	}
	counts, stages := map[aspect]int{}, map[string]int{}
	for i, their := range theirs(t, questions) {
		stages[their.Stage]++
		our := ours(e, questions[i])
		found := compare(their, our, false)
		if found == "" || intended(rows, "generated", questions[i], found, their, our) >= 0 {
			continue
		}
		counts[found]++
		if *all || counts[found] <= 5 {
			q := questions[i]
			if !*all {
				q = shrink(t, e, operations[i], found, their.Stage, our.Stage).question()
			}
			name := fmt.Sprintf("seed %d", *seed+uint64(i))
			t.Error(report(name, found, q, theirs(t, []question{q})[0], ours(e, q)))
		}
	}
	if len(counts) > 0 {
		t.Errorf("unintended differences: %v", counts)
	}
	t.Logf("%d operations from seed %d, by graphql-js's verdict: %v", *count, *seed, stages)
	if *count >= 1000 && (stages["execute"] < *count/3 || stages["parse"] == 0 || stages["validate"] == 0 || stages["coerce"] == 0) {
		t.Errorf("the generator does not reach every stage: %v", stages)
	}
}

// attempts limits the time that shrink takes.
const attempts = 200

// shrink leaves out tokens, many at first, as long as the difference stays.
func shrink(t testing.TB, e *gql.Executor, g generated, found aspect, their, our string) generated {
	t.Helper()
	g.blanks = []string{" "}
	tried := 0
	differs := func(g generated) bool {
		tried++
		q := g.question()
		a, b := theirs(t, []question{q})[0], ours(e, q)
		return compare(a, b, false) == found && a.Stage == their && b.Stage == our
	}
	for size := len(g.tokens) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(g.tokens) && tried < attempts; {
			shorter := g
			shorter.tokens = slices.Delete(slices.Clone(g.tokens), at, at+size)
			if differs(shorter) {
				g = shorter
			} else {
				at++
			}
		}
	}
	return g
}
