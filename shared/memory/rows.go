package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// GetRow implements table.Store.
func (s *Store) GetRow(ctx context.Context, t topology.Table, k table.Key, _ int) (row table.Row, err error) {
	err = s.do(ctx, "GetRow", func() error {
		found, ok := s.tables[t.Name][k]
		if !ok {
			return table.ErrNotFound
		}
		row = maps.Clone(found)
		return nil
	})
	return row, err
}

// PutRow implements table.Store.
func (s *Store) PutRow(ctx context.Context, t topology.Table, row table.Row, c table.Condition) error {
	return s.do(ctx, "PutRow", func() error {
		k := table.KeyOf(t, row)
		old, exists := s.tables[t.Name][k]
		version, _ := old[table.Version].(*types.AttributeValueMemberN)
		switch {
		case c.Absent && exists, c.Version != nil && !exists:
			return table.ErrConflict
		case c.Version != nil:
			var now int64
			if version != nil {
				now, _ = strconv.ParseInt(version.Value, 10, 64)
			}
			if now != *c.Version {
				return table.ErrConflict
			}
		}
		if s.tables[t.Name] == nil {
			s.tables[t.Name] = map[table.Key]table.Row{}
		}
		s.tables[t.Name][k] = maps.Clone(row)
		return nil
	})
}

// DeleteRow implements table.Store.
func (s *Store) DeleteRow(ctx context.Context, t topology.Table, k table.Key) error {
	return s.do(ctx, "DeleteRow", func() error {
		delete(s.tables[t.Name], k)
		return nil
	})
}

// QueryRows implements table.Store.
func (s *Store) QueryRows(ctx context.Context, t topology.Table, q table.Query) (found []table.Row, err error) {
	key, sort := t.Key, t.Sort
	for _, i := range t.Indexes {
		if i.Name == q.Index {
			key, sort = i.Key, i.Sort
		}
	}
	err = s.do(ctx, "QueryRows", func() error {
		for _, row := range s.tables[t.Name] {
			at := table.Text(row, sort)
			if table.Text(row, key) == q.Partition && (q.After == "" || at > q.After) && (q.Before == "" || at < q.Before) {
				found = append(found, maps.Clone(row))
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b table.Row) int { return cmp.Compare(table.Text(a, sort), table.Text(b, sort)) })
	if n := len(found) - q.Limit; n > 0 && q.After != "" {
		found = found[:q.Limit]
	} else if n > 0 {
		found = found[n:]
	}
	bytes := 0
	for _, row := range found {
		bytes += table.Bytes(row)
	}
	if err == nil {
		_, err = pubsub.BudgetOf(ctx).Reserve(bytes, bytes)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}
