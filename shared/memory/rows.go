package memory

import (
	"cmp"
	"context"
	"slices"

	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// productRow is where a row of a product is: the table's name, and its key there.
type productRow struct {
	table string
	key   table.Key
}

// GetRow implements table.Store.
func (s *Store) GetRow(ctx context.Context, t topology.Table, k table.Key, bytes int) (found table.Row, err error) {
	err = s.do(ctx, "GetRow", func() error {
		if err := k.Check(t); err != nil {
			return err
		}
		r, ok := s.products[productRow{t.Name, k}]
		if !ok {
			return table.ErrNotFound
		}
		found = table.Normal(r)
		return spend(ctx, bytes, found)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// PutRow implements table.Store.
func (s *Store) PutRow(ctx context.Context, t topology.Table, r table.Row, c table.Condition) error {
	return s.do(ctx, "PutRow", func() error {
		k, err := table.KeyOf(t, r)
		if err != nil {
			return err
		}
		at := productRow{t.Name, k}
		if !c.Allows(t, s.products[at], r) {
			return table.ErrConflict
		}
		s.products[at] = table.Normal(r)
		return nil
	})
}

// DeleteRow implements table.Store.
func (s *Store) DeleteRow(ctx context.Context, t topology.Table, k table.Key) error {
	return s.do(ctx, "DeleteRow", func() error {
		if err := k.Check(t); err != nil {
			return err
		}
		delete(s.products, productRow{t.Name, k})
		return nil
	})
}

// QueryRows implements table.Store. It looks at every row of all products.
func (s *Store) QueryRows(ctx context.Context, t topology.Table, q table.Query) (found []table.Row, err error) {
	err = s.do(ctx, "QueryRows", func() error {
		partition, sort, err := q.Keys(t)
		if err != nil {
			return err
		}
		for at, r := range s.products {
			if at.table == t.Name && table.Text(r, partition) == q.Partition && isWithin(q, r, sort) {
				found = append(found, table.Normal(r))
			}
		}
		slices.SortFunc(found, func(a, b table.Row) int {
			return cmp.Or(
				cmp.Compare(table.Text(a, sort), table.Text(b, sort)),
				cmp.Compare(table.Text(a, t.Key), table.Text(b, t.Key)),
				cmp.Compare(table.Text(a, t.Sort), table.Text(b, t.Sort)),
			)
		})
		if q.After != "" {
			found = found[:min(q.Limit, len(found))]
		} else {
			found = found[max(0, len(found)-q.Limit):]
		}
		return spend(ctx, q.RowBytes, found...)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// isWithin reports whether the row has the sort key, if there is one, and is on the
// right side of the query's ends.
func isWithin(q table.Query, r table.Row, sort string) bool {
	at := table.Text(r, sort)
	return (sort == "" || at != "") && (q.After == "" || at > q.After) && (q.Before == "" || at < q.Before)
}

// spend takes the rows out of the budget of ctx. That must have room for the longest
// row, as who reads does not know how long they are.
func spend(ctx context.Context, longest int, rows ...table.Row) error {
	bytes := 0
	for _, r := range rows {
		bytes += table.Bytes(r)
	}
	_, err := pubsub.BudgetOf(ctx).Reserve(max(longest, bytes), bytes)
	return err
}
