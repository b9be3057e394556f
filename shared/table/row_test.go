package table_test

import (
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/table"
	"subwire/shared/topology"
)

// The rules are those of "DynamoDB item sizes and formats". It says nothing about sets,
// and that the size of a number is approximate.
func TestBytesFollowTheRulesOfDynamoDB(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int{
		`{}`:                                     0,
		`{"name":{"S":"value"}}`:                 4 + 5,
		`{"größe":{"S":"😀"}}`:                    7 + 4,
		`{"b":{"B":"AP8="}}`:                     1 + 2,
		`{"n":{"NULL":true}}`:                    1 + 1,
		`{"b":{"BOOL":false}}`:                   1 + 1,
		`{"l":{"L":[]}}`:                         1 + 3,
		`{"m":{"M":{}}}`:                         1 + 3,
		`{"l":{"L":[{"S":"ab"},{"BOOL":true}]}}`: 1 + 3 + (2 + 1) + (1 + 1),
		`{"m":{"M":{"in":{"S":"ab"}}}}`:          1 + 3 + (2 + 2 + 1),
		`{"s":{"SS":["ab","c"]}}`:                1 + 3,
		`{"s":{"BS":["AA==","AP8="]}}`:           1 + 3,
		`{"a":{"S":"x"},"b":{"S":"y"}}`:          2 + 2,
	} {
		if got := table.Bytes(fromJSON(t, raw)); got != want {
			t.Errorf("%s has %d bytes, want %d", raw, got, want)
		}
	}
}

// Nothing that is read may cost more than is counted, and little less.
func TestBytesOfANumberAreNoLessThanItTakes(t *testing.T) {
	t.Parallel()
	for n, significant := range map[string]int{
		"0": 1, "1": 1, "12": 2, "123": 3, "1234": 4, "1790000000123": 13,
		"0.5": 1, "123.45": 5, "99999999999999999999999999999999999999": 38,
	} {
		least := 1 + (significant+1)/2 + 1 // the name, a byte for two digits, and one more
		got := table.Bytes(fromJSON(t, `{"n":{"N":"`+n+`"}}`))
		if got < least || got > least+2 {
			t.Errorf("%s has %d bytes, want %d or little more", n, got, least)
		}
	}
}

func TestEqualRowsHaveOneNormalForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{`{"n":{"N":"1.50"}}`, `{"n":{"N":"1.5"}}`, true},
		{`{"n":{"N":"100"}}`, `{"n":{"N":"1E+2"}}`, true},
		{`{"n":{"N":"0.0000001"}}`, `{"n":{"N":"1e-7"}}`, true},
		{`{"n":{"N":"-0.00"}}`, `{"n":{"N":"0"}}`, true},
		{`{"n":{"N":"007"}}`, `{"n":{"N":"7"}}`, true},
		{`{"n":{"N":"1e-130"}}`, `{"n":{"N":"0.1e-129"}}`, true},
		{`{"n":{"N":"9007199254740993"}}`, `{"n":{"N":"9007199254740992"}}`, false}, // the same as float64
		{`{"n":{"N":"0.1"}}`, `{"n":{"N":"0.10000000000000000000000000000000000001"}}`, false},
		{`{"n":{"N":"1"}}`, `{"n":{"S":"1"}}`, false},
		{`{"n":{"N":"1"}}`, `{"n":{"N":"-1"}}`, false},
		{`{"s":{"NS":["1.0","20"]}}`, `{"s":{"NS":["2e1","1"]}}`, true},
		{`{"s":{"SS":["a","b"]}}`, `{"s":{"SS":["b","a"]}}`, true},
		{`{"s":{"SS":["a","b"]}}`, `{"s":{"SS":["a"]}}`, false},
		{`{"s":{"BS":["AA==","AQ=="]}}`, `{"s":{"BS":["AQ==","AA=="]}}`, true},
		{`{"l":{"L":[{"N":"1.0"},{"S":"b"}]}}`, `{"l":{"L":[{"N":"1"},{"S":"b"}]}}`, true},
		{`{"l":{"L":[{"S":"a"},{"S":"b"}]}}`, `{"l":{"L":[{"S":"b"},{"S":"a"}]}}`, false},
		{`{"m":{"M":{"a":{"N":"1.0"}}}}`, `{"m":{"M":{"a":{"N":"1"}}}}`, true},
		{`{"m":{"M":{"a":{"BOOL":true}}}}`, `{"m":{"M":{"a":{"BOOL":false}}}}`, false},
		{`{"a":{"S":"x"}}`, `{"a":{"S":"x"},"b":{"S":"y"}}`, false},
		{`{"b":{"B":""},"l":{"L":[]},"z":{"NULL":true}}`, `{"l":{"L":[]},"z":{"NULL":true},"b":{"B":""}}`, true},
	} {
		a, b := table.Normal(fromJSON(t, tt.a)), table.Normal(fromJSON(t, tt.b))
		if diff := cmp.Diff(a, b, exported); (diff == "") != tt.same {
			t.Errorf("%s and %s: %s", tt.a, tt.b, diff)
		}
	}
}

func TestANormalRowIsACopy(t *testing.T) {
	t.Parallel()
	raw := `{"b":{"B":"AA=="},"bs":{"BS":["AA=="]},"ss":{"SS":["x"]},"m":{"M":{"l":{"L":[{"B":"AA=="}]}}}}`
	row := fromJSON(t, raw)
	normal := table.Normal(row)
	row["b"].(*types.AttributeValueMemberB).Value[0] = 1
	row["bs"].(*types.AttributeValueMemberBS).Value[0][0] = 1
	row["ss"].(*types.AttributeValueMemberSS).Value[0] = "y"
	in := row["m"].(*types.AttributeValueMemberM).Value
	in["l"].(*types.AttributeValueMemberL).Value[0].(*types.AttributeValueMemberB).Value[0] = 1
	in["more"] = in["l"]
	if diff := cmp.Diff(table.Normal(fromJSON(t, raw)), normal, exported); diff != "" {
		t.Errorf("the copy changes with the row (-want +got):\n%s", diff)
	}
}

// DynamoDB takes no such number, but a product's value may hold one.
func TestANumberBeyondAllBoundsIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"1e999999999", "1e127", "1e-131", "NaN", "Infinity", "one", "", strings.Repeat("9", 400)} {
		raw := `{"n":{"N":"` + n + `"}}`
		if diff := cmp.Diff(fromJSON(t, raw), table.Normal(fromJSON(t, raw)), exported); diff != "" {
			t.Errorf("%.20s is changed:\n%s", n, diff)
		}
	}
}

func TestTheVersionOfARow(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		`{}`: 0, `{"_version":{"N":"7"}}`: 7,
		`{"_version":{"S":"7"}}`: 0, `{"_version":{"N":"9223372036854775807"}}`: math.MaxInt64,
	} {
		if got := table.VersionOf(fromJSON(t, raw)); got != want {
			t.Errorf("%s has version %d, want %d", raw, got, want)
		}
	}
}

var (
	pairs = topology.Table{Name: "pairs", Key: "a", Sort: "b", Indexes: []topology.Index{
		{Name: "full", Key: "c", Sort: "d"}, {Name: "flat", Key: "c"}}}
	singles = topology.Table{Name: "singles", Key: "a"}
)

func TestTheKeyOfARow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		table topology.Table
		row   string
		want  table.Key // zero for an error
	}{
		{pairs, `{"a":{"S":"1"},"b":{"S":"2"}}`, table.Key{Partition: "1", Sort: "2"}},
		{pairs, `{"a":{"S":"1"},"b":{"S":"2"},"c":{"S":"3"}}`, table.Key{Partition: "1", Sort: "2"}},
		{pairs, `{"a":{"S":"1"}}`, table.Key{}},
		{pairs, `{"b":{"S":"2"}}`, table.Key{}},
		{pairs, `{"a":{"S":"1"},"b":{"S":""}}`, table.Key{}},
		{pairs, `{"a":{"S":"1"},"b":{"N":"2"}}`, table.Key{}},
		{pairs, `{"a":{"S":"1"},"b":{"S":"2"},"c":{"NULL":true}}`, table.Key{}},
		{pairs, `{"a":{"S":"1"},"b":{"S":"2"},"c":{"S":"3"},"d":{"S":""}}`, table.Key{}},
		{singles, `{"a":{"S":"1"},"b":{"S":"2"}}`, table.Key{Partition: "1"}},
		{singles, `{"b":{"S":"2"}}`, table.Key{}},
	} {
		got, err := table.KeyOf(tt.table, fromJSON(t, tt.row))
		if err == nil && got != tt.want || (err != nil) != (tt.want == table.Key{}) {
			t.Errorf("%s in %s: got %v, %v", tt.row, tt.table.Name, got, err)
		}
	}
}

func TestAQueryFindsRowsByTheKeyOfItsIndex(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		table           topology.Table
		query           table.Query
		partition, sort string // "" for an error
	}{
		{pairs, table.Query{Partition: "1", After: "2"}, "a", "b"},
		{pairs, table.Query{Partition: "1", Index: "full", Before: "2"}, "c", "d"},
		{pairs, table.Query{Partition: "1", Index: "flat"}, "c", ""},
		{pairs, table.Query{Partition: "1", Index: "flat", After: "2"}, "", ""},
		{pairs, table.Query{Partition: "1", Index: "none"}, "", ""},
		{pairs, table.Query{Index: "full"}, "", ""},
		{singles, table.Query{Partition: "1"}, "a", ""},
		{singles, table.Query{Partition: "1", Before: "2"}, "", ""},
	} {
		partition, sort, err := tt.query.Keys(tt.table)
		if partition != tt.partition || sort != tt.sort || (err != nil) != (tt.partition == "") {
			t.Errorf("%+v of %s: got %q, %q, %v", tt.query, tt.table.Name, partition, sort, err)
		}
	}
}
