package dynamo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// conditionFailedOn is the answer to a put whose condition fails on the item.
func conditionFailedOn(item string) answer {
	return answer{400, strings.Replace(conditionFailed, `"message"`, `"Item":`+item+`,"message"`, 1)}
}

// A put conflicts with another's row, even with an equal one, but not with its own.
func TestAPutThatIsRepeatedDoesNotConflictWithItself(t *testing.T) {
	t.Parallel()
	equal := `{"id":{"S":"1"},"total":{"N":"1.50"}}` // as it was put, but for the number
	other := `{"id":{"S":"1"},"total":{"N":"1.51"}}`
	longer := `{"id":{"S":"1"},"total":{"N":"1.50"},"by":{"S":"x"}}`
	for name, tt := range map[string]struct {
		answers []answer
		want    error
	}{
		"AtOnce":                   {[]answer{{200, ok}}, nil},
		"AnswerLost":               {[]answer{{}, {200, ok}}, nil},
		"AppliedAndAnswerLost":     {[]answer{{}, conditionFailedOn(equal)}, nil},
		"AppliedAndFaultOfServer":  {[]answer{{500, serverFailed}, conditionFailedOn(equal)}, nil},
		"EqualRowOfAnother":        {[]answer{conditionFailedOn(equal)}, table.ErrConflict},
		"AnotherRowAfterALoss":     {[]answer{{}, conditionFailedOn(other)}, table.ErrConflict},
		"NoRowAfterALoss":          {[]answer{{}, {400, conditionFailed}}, table.ErrConflict},
		"MoreAttributesAfterALoss": {[]answer{{}, conditionFailedOn(longer)}, table.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, condition := range []table.Condition{{Absent: true}, {Newer: "total"}} {
				s, got := scripted(t, tt.answers...)
				row, err := attributevalue.UnmarshalMapJSON([]byte(`{"id":{"S":"1"},"total":{"N":"1.5"}}`))
				if err != nil {
					t.Fatal(err)
				}
				still(t, s, func(t *testing.T, s *Store) {
					if err := s.PutRow(t.Context(), storetest.Singles, row, condition); !errors.Is(err, tt.want) {
						t.Errorf("%+v: got error %v, want %v", condition, err, tt.want)
					}
				})
				if want := slices.Repeat([]string{"PutItem"}, len(tt.answers)); !slices.Equal(actions(*got), want) {
					t.Errorf("%+v: requests %q, want %q", condition, actions(*got), want)
				}
			}
		})
	}
}

// rowServer is a DynamoDB with one endless partition. It notes what was read of it.
type rowServer struct {
	content     string
	cost, pages int // bytes in units, and how many queries
}

func (s *rowServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Limit int }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		panic(err)
	}
	items := []string{}
	read := 1
	for range in.Limit {
		items = append(items, `{"owner":{"S":"1"},"id":{"S":"1"},"content":{"S":"`+s.content+`"}}`)
		read += len("owner1id1content") + len(s.content)
	}
	s.pages++
	s.cost += (read + 4095) / 4096 * 4096
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = fmt.Fprintf(w, `{"Items":[%s],"LastEvaluatedKey":{"owner":{"S":"1"},"id":{"S":"1"}}}`, strings.Join(items, ","))
}

// The budget counts what reads cost, in units. In the end, what is left of it is not
// enough for the longest row.
func TestAReadOfRowsNeverTakesMoreThanItsBudget(t *testing.T) {
	t.Parallel()
	const budget, longest, limit = 1 << 20, 9 << 10, 100
	for name, content := range map[string]string{"Long": strings.Repeat("x", longest-100), "Short": "x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := &rowServer{content: content}
			server := httptest.NewServer(rows)
			defer server.Close()
			s := New(newClient(server.URL), Tables{})
			still(t, s, func(t *testing.T, s *Store) {
				ctx := pubsub.WithBudget(t.Context(), budget)
				q := table.Query{Partition: "1", Limit: limit, RowBytes: longest}
				if found, err := s.QueryRows(ctx, storetest.Rows, q); len(found) != limit || err != nil || rows.pages != 1 {
					t.Errorf("the first read has %d rows in %d pages, %v", len(found), rows.pages, err)
				}
				err := error(nil)
				for err == nil {
					_, err = s.QueryRows(ctx, storetest.Rows, q)
				}
				if !errors.Is(err, pubsub.ErrBudget) || rows.cost > budget || rows.cost <= budget-longest {
					t.Errorf("%d bytes of %d were read, %v", rows.cost, budget, err)
				}
			})
		})
	}
}

// A row that is not there costs a read unit, too.
func TestAMissingRowIsNotReadForNothing(t *testing.T) {
	t.Parallel()
	const units = 3
	s, _ := scripted(t, slices.Repeat([]answer{{200, ok}}, units)...)
	still(t, s, func(t *testing.T, s *Store) {
		ctx := pubsub.WithBudget(t.Context(), units*4096)
		for range units {
			if _, err := s.GetRow(ctx, storetest.Singles, table.Key{Partition: "1"}, 1); !errors.Is(err, table.ErrNotFound) {
				t.Errorf("got error %v, want ErrNotFound", err)
			}
		}
		if _, err := s.GetRow(ctx, storetest.Singles, table.Key{Partition: "1"}, 1); !errors.Is(err, pubsub.ErrBudget) {
			t.Errorf("got error %v, want ErrBudget", err)
		}
	})
}

func TestOnlyReadsOfAnIndexMayLagBehind(t *testing.T) {
	t.Parallel()
	s, got := scripted(t, slices.Repeat([]answer{{200, ok}}, 3)...)
	still(t, s, func(t *testing.T, s *Store) {
		q := table.Query{Partition: "1", Limit: 1, RowBytes: 1}
		_, errGet := s.GetRow(t.Context(), storetest.Singles, table.Key{Partition: "1"}, 1)
		_, errTable := s.QueryRows(t.Context(), storetest.Rows, q)
		q.Index = "byTag"
		_, errIndex := s.QueryRows(t.Context(), storetest.Rows, q)
		if !errors.Is(errGet, table.ErrNotFound) || errTable != nil || errIndex != nil {
			t.Fatal(errGet, errTable, errIndex)
		}
	})
	for i, want := range []bool{true, true, false} {
		if consistent := (*got)[i].body["ConsistentRead"]; consistent != want {
			t.Errorf("request %d: ConsistentRead is %v, want %t", i, consistent, want)
		}
	}
}

func TestATableIsCreatedAsItIsDescribed(t *testing.T) {
	t.Parallel()
	s := localStore(t) // for its client
	for i, want := range []topology.Table{{}, {Stream: true}, {Stream: true, OldImages: true}} {
		want.Name, want.Key, want.Sort = "t", "a", "b"
		want.Indexes = []topology.Index{{Name: "one", Key: "b", Sort: "a"}, {Name: "two", Key: "c"}}
		physical := *s.productTable(storetest.Rows) + fmt.Sprint("-", i)
		if i == 2 { // an earlier release created it without a stream
			without := want
			without.Stream, without.OldImages = false, false
			createTable(t, s.client, without, physical)
		}
		for range 2 {
			createTable(t, s.client, want, physical)
		}
		out, err := s.client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &physical})
		if err != nil {
			t.Fatal(err)
		}
		got := topology.Table{Name: "t"}
		got.Key, got.Sort = keyOf(out.Table.KeySchema)
		for _, index := range out.Table.GlobalSecondaryIndexes {
			key, sort := keyOf(index.KeySchema)
			got.Indexes = append(got.Indexes, topology.Index{Name: *index.IndexName, Key: key, Sort: sort})
			if index.Projection.ProjectionType != types.ProjectionTypeAll {
				t.Errorf("index %s has %s", *index.IndexName, index.Projection.ProjectionType)
			}
		}
		slices.SortFunc(got.Indexes, func(a, b topology.Index) int { return cmp.Compare(a.Name, b.Name) })
		if stream := out.Table.StreamSpecification; stream != nil {
			got.Stream, got.OldImages = *stream.StreamEnabled, stream.StreamViewType == types.StreamViewTypeNewAndOldImages
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// keyOf returns the attributes of a key; sort is "" if it has none.
func keyOf(schema []types.KeySchemaElement) (partition, sort string) {
	for _, part := range schema {
		if part.KeyType == types.KeyTypeHash {
			partition = *part.AttributeName
		} else {
			sort = *part.AttributeName
		}
	}
	return partition, sort
}

// If an update lost its answer and the row has been changed since, it may have been
// made: making it again could make it twice.
func TestAnUpdateWithoutAnAnswerIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	changed := conditionFailedOn(`{"id":{"S":"1"},"_version":{"N":"9"}}`)
	row, err := attributevalue.UnmarshalMapJSON([]byte(`{"id":{"S":"1"},"_version":{"N":"8"}}`))
	if err != nil {
		t.Fatal(err)
	}
	version := int64(7)
	for name, tt := range map[string]struct {
		answers  []answer
		conflict bool
	}{
		"AnswerLost": {[]answer{{}, changed}, false},
		"AtOnce":     {[]answer{changed}, true},
		"Throttled":  {[]answer{{400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}`}, changed}, true},
	} {
		s, _ := scripted(t, tt.answers...)
		still(t, s, func(t *testing.T, s *Store) {
			err := s.PutRow(t.Context(), storetest.Singles, row, table.Condition{Version: &version})
			if err == nil || errors.Is(err, table.ErrConflict) != tt.conflict {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
