package strictdb

import (
	"encoding/json"
	"slices"
	"strings"

	"subwire/shared/topology"
)

// call is a request that reads or writes items.
type call struct {
	body        []byte
	accesses    []access
	read        bool   // a plain read, which never conflicts
	transaction bool   // all or nothing
	gets        bool   // a transaction that only reads
	batch       bool   // a BatchWriteItem
	token       string // of an idempotent transaction, or ""
	requests    []tableRequest
}

// access is what a call does with one item, or with the items of one partition key.
type access struct {
	table     string  // physical name
	index     string  // of the table, if it is read; its partitions are its own
	partition string  // its key's value; "" if unknown
	sort      string  // the same for the sort key
	read      bool    // whether it consumes read units
	least     float64 // least units that it consumes
}

func (a access) key() itemKey { return itemKey{a.table, a.partition, a.sort} }

// itemKey names an item.
type itemKey struct{ table, partition, sort string }

// attribute is a key's value. Ours are strings, but any key works.
type attribute struct{ S, N, B string }

func (a attribute) String() string { return a.S + a.N + a.B }

// reference is the part of a request that names an item.
type reference struct {
	TableName string
	IndexName string
	Key, Item map[string]json.RawMessage

	ConsistentRead           bool
	KeyConditionExpression   string
	ExpressionAttributeNames map[string]string
	Values                   map[string]json.RawMessage `json:"ExpressionAttributeValues"`
}

// tableRequest is one item of a BatchWriteItem as the caller wrote it.
type tableRequest struct {
	table string
	raw   json.RawMessage
}

// parse reads a call. It reports whether the call is one to watch. Everything else is
// left to DynamoDB Local, and so is what it will refuse as malformed.
func (d *DB) parse(operation string, body []byte) (call, bool) {
	c := call{body: body}
	var err error
	switch operation {
	case "PutItem", "UpdateItem", "DeleteItem":
		err = d.one(&c, 1)
	case "GetItem", "Query":
		c.read = true
		err = d.one(&c, 0.5)
	case "BatchGetItem":
		c.read = true
		err = d.gets(&c)
	case "TransactWriteItems":
		c.transaction = true
		err = d.transact(&c)
	case "TransactGetItems":
		c.transaction, c.gets = true, true
		err = d.transact(&c)
	case "BatchWriteItem":
		c.batch = true
		err = d.batchOf(&c)
	default:
		return c, false
	}
	return c, err == nil && len(c.accesses) > 0
}

func (d *DB) one(c *call, least float64) error {
	var r reference
	if err := json.Unmarshal(c.body, &r); err != nil {
		return err
	}
	if c.read && r.ConsistentRead {
		least *= 2
	}
	if a, ok := d.access(r, c.read, least); ok {
		c.accesses = append(c.accesses, a)
	}
	return nil
}

// transact reads a transaction. Each item is prepared and committed, and so counts
// twice ("Amazon DynamoDB Transactions: How it works").
func (d *DB) transact(c *call) error {
	var r struct {
		TransactItems      []map[string]reference
		ClientRequestToken string
	}
	if err := json.Unmarshal(c.body, &r); err != nil {
		return err
	}
	c.token = r.ClientRequestToken
	for _, item := range r.TransactItems {
		for _, action := range item {
			a, _ := d.access(action, c.gets, 2) // an unwatched item keeps its place among the reasons
			c.accesses = append(c.accesses, a)
		}
	}
	return nil
}

func (d *DB) batchOf(c *call) error {
	var r struct {
		RequestItems map[string][]json.RawMessage
	}
	if err := json.Unmarshal(c.body, &r); err != nil {
		return err
	}
	for table, requests := range r.RequestItems {
		for _, raw := range requests {
			var request map[string]reference
			if err := json.Unmarshal(raw, &request); err != nil {
				return err
			}
			for _, action := range request {
				action.TableName = table
				a, _ := d.access(action, false, 1)
				c.accesses = append(c.accesses, a)
				c.requests = append(c.requests, tableRequest{table, raw})
			}
		}
	}
	return nil
}

// gets reads a batch of reads. DynamoDB throttles it only if no item is left, and gives the
// others back as unprocessed ("BatchGetItem"); here one item is enough.
func (d *DB) gets(c *call) error {
	var r struct {
		RequestItems map[string]struct {
			Keys           []map[string]json.RawMessage
			ConsistentRead bool
		}
	}
	if err := json.Unmarshal(c.body, &r); err != nil {
		return err
	}
	for table, items := range r.RequestItems {
		least := 0.5
		if items.ConsistentRead {
			least = 1
		}
		for _, key := range items.Keys {
			if a, ok := d.access(reference{TableName: table, Key: key}, true, least); ok {
				c.accesses = append(c.accesses, a)
			}
		}
	}
	return nil
}

// access returns the item that the request is about. It reports whether its table is watched.
func (d *DB) access(r reference, read bool, least float64) (access, bool) {
	t, ok := d.tables[r.TableName]
	if !ok {
		return access{}, false
	}
	a := access{table: r.TableName, read: read, least: least}
	key := r.Key
	if key == nil {
		key = r.Item
	}
	if key == nil {
		a.index, a.partition = r.IndexName, r.queried(partitionKey(t, r.IndexName))
		return a, true
	}
	a.partition = text(key[t.Key])
	if t.Sort != "" {
		a.sort = text(key[t.Sort])
	}
	return a, true
}

// partitionKey is the one of the table's index, or of the table itself for "".
func partitionKey(t topology.Table, index string) string {
	for _, i := range t.Indexes {
		if i.Name == index {
			return i.Key
		}
	}
	return t.Key
}

// queried is the value that a Query's condition compares the partition key with: "KEY
// = :value", written first or after AND.
func (r reference) queried(partitionKey string) string {
	words := strings.Fields(strings.ReplaceAll(r.KeyConditionExpression, "=", " = "))
	for i, word := range words {
		name := word
		if alias, ok := r.ExpressionAttributeNames[word]; ok {
			name = alias
		}
		if name == partitionKey && slices.Equal(words[i+1:min(i+2, len(words))], []string{"="}) && i+2 < len(words) {
			return text(r.Values[words[i+2]])
		}
	}
	return ""
}

func text(raw json.RawMessage) string {
	var a attribute
	if json.Unmarshal(raw, &a) != nil {
		return ""
	}
	return a.String()
}
