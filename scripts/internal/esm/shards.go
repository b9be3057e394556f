package esm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// Shards presents the one shard of a DynamoDB Local stream as several, like those of
// a busy table in AWS ("Change data capture for DynamoDB Streams", "Shards" in the
// DynamoDB Developer Guide). Each takes the records of some partition keys. Now and
// then one ends. While shards are few, two children take over, later one, just as AWS
// replaces shards every few hours. Records and sequence numbers stay those of the
// stream. It implements StreamClient and is safe for concurrent use.
type Shards struct {
	client StreamClient
	cfg    ShardsConfig

	mu     sync.Mutex // guards the fields below
	nodes  []*node    // in order of creation
	served map[string]int
}

type ShardsConfig struct {
	Key   string // name of the table's partition key
	Count int    // shards at first
	Most  int    // most shards open at once; default Count
	Life  int    // records after which a shard ends; default 300
	File  string // keeps the shards between runs; "" for none
}

// node is one of our shards.
type node struct {
	ID, Parent string
	Real       string // the stream's shard that it takes records of
	Mod, Rem   uint32 // it takes partition keys whose hash has this remainder
	After      string // it begins after this sequence number; "" for where Real begins
	End        string // its last record; "" while it is open
	Followed   bool   // whether it has children
}

// idMark separates the id of a real shard from our number. No real id contains it.
const idMark = "."

// RealShard is the id of the stream's own shard, given an id of Shards or of a
// stream.
func RealShard(id string) string {
	real, _, _ := strings.Cut(id, idMark)
	return real
}

// NewShards returns the client with more shards. The error says that File cannot be read.
func NewShards(client StreamClient, cfg ShardsConfig) (*Shards, error) {
	cfg.Count, cfg.Life = cmp.Or(cfg.Count, 1), cmp.Or(cfg.Life, 300)
	cfg.Most = max(cfg.Most, cfg.Count)
	s := &Shards{client: client, cfg: cfg, served: map[string]int{}}
	if cfg.File == "" {
		return s, nil
	}
	raw, err := os.ReadFile(cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s.nodes)
	}
	if err != nil {
		return nil, fmt.Errorf("read shards: %w", err)
	}
	return s, nil
}

// DescribeStream lists our shards, all of them on the last page.
func (s *Shards) DescribeStream(ctx context.Context, in *dynamodbstreams.DescribeStreamInput,
	opts ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	out, err := s.client.DescribeStream(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, real := range out.StreamDescription.Shards {
		if err := s.adopt(*real.ShardId, aws.ToString(real.ParentShardId)); err != nil {
			return nil, err
		}
	}
	out.StreamDescription.Shards = nil
	if out.StreamDescription.LastEvaluatedShardId != nil {
		return out, nil
	}
	for _, n := range s.nodes {
		shard := types.Shard{ShardId: aws.String(n.ID)}
		if n.Parent != "" {
			shard.ParentShardId = aws.String(n.Parent)
		}
		out.StreamDescription.Shards = append(out.StreamDescription.Shards, shard)
	}
	return out, nil
}

// adopt makes our shards for a shard of the stream: Count, or one child for each
// shard that was open when its parent ended.
func (s *Shards) adopt(real, parent string) error {
	if slices.ContainsFunc(s.nodes, func(n *node) bool { return n.Real == real }) {
		return nil
	}
	var leaves []*node
	for _, n := range s.nodes {
		if n.Real == parent && !n.Followed {
			leaves = append(leaves, n)
		}
	}
	for _, n := range leaves {
		s.add(node{Parent: n.ID, Real: real, Mod: n.Mod, Rem: n.Rem})
		n.Followed = true
	}
	if len(leaves) == 0 {
		for i := range s.cfg.Count {
			s.add(node{Real: real, Mod: uint32(s.cfg.Count), Rem: uint32(i)})
		}
	}
	return s.save()
}

func (s *Shards) add(n node) {
	n.ID = n.Real + idMark + strconv.Itoa(len(s.nodes))
	s.nodes = append(s.nodes, &n)
}

// save replaces the file. It comes before a shard is used: after a restart an unsaved
// shard would have other children, and its records would be lost.
func (s *Shards) save() error {
	if s.cfg.File == "" {
		return nil
	}
	raw, err := json.Marshal(s.nodes)
	if err == nil {
		err = os.WriteFile(s.cfg.File+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(s.cfg.File+".new", s.cfg.File)
	}
	if err != nil {
		return fmt.Errorf("save shards: %w", err)
	}
	return nil
}

func (s *Shards) node(id string) *node {
	for _, n := range s.nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// GetShardIterator returns an iterator of one of our shards. The stream's own shards
// can be read as well, as invocation records name them.
func (s *Shards) GetShardIterator(ctx context.Context, in *dynamodbstreams.GetShardIteratorInput,
	opts ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	s.mu.Lock()
	found := s.node(*in.ShardId)
	if found == nil {
		s.mu.Unlock()
		return s.client.GetShardIterator(ctx, in, opts...)
	}
	n := *found
	s.mu.Unlock()
	real := *in
	real.ShardId = &n.Real
	switch {
	case in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber && n.End != "" && compareSequence(*in.SequenceNumber, n.End) >= 0:
		return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: ourIterator(n, new(string))}, nil // at its end
	case in.ShardIteratorType == types.ShardIteratorTypeTrimHorizon && n.After != "":
		real.ShardIteratorType, real.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &n.After
	}
	out, err := s.client.GetShardIterator(ctx, &real, opts...)
	if _, trimmed := errors.AsType[*types.TrimmedDataAccessException](err); trimmed && real.SequenceNumber == &n.After {
		real.ShardIteratorType, real.SequenceNumber = types.ShardIteratorTypeTrimHorizon, nil
		out, err = s.client.GetShardIterator(ctx, &real, opts...)
	}
	if err != nil {
		return nil, err
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: ourIterator(n, out.ShardIterator)}, nil
}

// iteratorMark separates, in our iterators, the id of our shard from an iterator of
// the stream, which is "" at the end of the shard.
const iteratorMark = "\n"

func ourIterator(n node, real *string) *string {
	if real == nil {
		return nil
	}
	return aws.String(n.ID + iteratorMark + *real)
}

// GetRecords returns the records of the next page that the shard takes. There may be
// none although more follow, as in AWS. A shard whose life is over ends there.
func (s *Shards) GetRecords(ctx context.Context, in *dynamodbstreams.GetRecordsInput,
	opts ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	id, iterator, ours := strings.Cut(aws.ToString(in.ShardIterator), iteratorMark)
	if !ours {
		return s.client.GetRecords(ctx, in, opts...)
	}
	if iterator == "" {
		return &dynamodbstreams.GetRecordsOutput{}, nil
	}
	real := *in
	real.ShardIterator = &iterator
	out, err := s.client.GetRecords(ctx, &real, opts...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(id)
	if n == nil {
		return nil, fmt.Errorf("get records: no shard %s", id)
	}
	records, ended, err := s.take(n, out.Records)
	if err != nil {
		return nil, err
	}
	out.Records = records
	if out.NextShardIterator = ourIterator(*n, out.NextShardIterator); ended {
		out.NextShardIterator = nil
	}
	return out, nil
}

// take returns the records of a page that belong to the shard, and whether it ends
// with them.
func (s *Shards) take(n *node, page []types.Record) (own []types.Record, ended bool, err error) {
	for _, r := range page {
		sequence := aws.ToString(r.Dynamodb.SequenceNumber)
		if n.End != "" && compareSequence(sequence, n.End) > 0 {
			return own, true, nil
		}
		hash, err := hashOf(map[string]events.DynamoDBAttributeValue{"": attribute(r.Dynamodb.Keys[s.cfg.Key])})
		if err != nil {
			return nil, false, fmt.Errorf("encode partition key: %w", err)
		}
		if hash%n.Mod != n.Rem {
			continue
		}
		own = append(own, r)
		if s.served[n.ID]++; n.End == "" && !n.Followed && s.served[n.ID] >= s.cfg.Life {
			return own, true, s.follow(n, sequence)
		}
		if sequence == n.End {
			return own, true, nil
		}
	}
	return own, false, nil
}

// follow ends n with the record and makes its children: two while more shards are
// allowed, else one.
func (s *Shards) follow(n *node, last string) error {
	n.End, n.Followed = last, true
	open := 0
	for _, n := range s.nodes {
		if !n.Followed {
			open++
		}
	}
	parts := uint32(1)
	if open+2 <= s.cfg.Most {
		parts = 2
	}
	for i := range parts {
		s.add(node{Parent: n.ID, Real: n.Real, Mod: n.Mod * parts, Rem: n.Rem + i*n.Mod, After: last})
	}
	return s.save()
}

// compareSequence orders sequence numbers, which do not fit into an integer.
func compareSequence(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
