package table

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Encode returns the row of a struct, whose attributes have the names that encoding/json
// gives its fields. A time is a number of milliseconds since 1970. MarshalJSON and
// MarshalText of a type are not called.
func Encode(v any) (Row, error) {
	row, err := attributevalue.MarshalMapWithOptions(v, func(o *attributevalue.EncoderOptions) {
		o.TagKey, o.EncodeTime, o.OmitEmptyTime = "json", encodeTime, true
	})
	if err != nil {
		return nil, fmt.Errorf("encode row: %w", err)
	}
	return row, nil
}

func encodeTime(t time.Time) (types.AttributeValue, error) {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.UnixMilli(), 10)}, nil
}

// Decode fills the struct that v points to with the row; times are in UTC. Attributes
// that the struct does not have are passed over.
func Decode(row Row, v any) error {
	err := attributevalue.UnmarshalMapWithOptions(row, v, func(o *attributevalue.DecoderOptions) {
		o.TagKey = "json"
		o.DecodeTime = attributevalue.DecodeTimeAttributes{N: decodeTime}
	})
	if err != nil {
		return fmt.Errorf("decode row: %w", err)
	}
	return nil
}

func decodeTime(number string) (time.Time, error) {
	ms, err := strconv.ParseInt(number, 10, 64)
	return time.UnixMilli(ms).UTC(), err
}

var errImage = errors.New("attribute of an unknown type")

// FromImage returns the row of an image in a stream record.
func FromImage(image map[string]events.DynamoDBAttributeValue) (Row, error) {
	row := make(Row, len(image))
	for name, v := range image {
		value, err := fromStream(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		row[name] = value
	}
	return row, nil
}

func fromStream(v events.DynamoDBAttributeValue) (types.AttributeValue, error) {
	if v.IsNull() && v.DataType() != events.DataTypeNull { // a zero value, which claims to be binary
		return nil, errImage
	}
	switch v.DataType() {
	case events.DataTypeString:
		return &types.AttributeValueMemberS{Value: v.String()}, nil
	case events.DataTypeNumber:
		return &types.AttributeValueMemberN{Value: v.Number()}, nil
	case events.DataTypeBoolean:
		return &types.AttributeValueMemberBOOL{Value: v.Boolean()}, nil
	case events.DataTypeNull:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case events.DataTypeBinary:
		return &types.AttributeValueMemberB{Value: v.Binary()}, nil
	case events.DataTypeStringSet:
		return &types.AttributeValueMemberSS{Value: v.StringSet()}, nil
	case events.DataTypeNumberSet:
		return &types.AttributeValueMemberNS{Value: v.NumberSet()}, nil
	case events.DataTypeBinarySet:
		return &types.AttributeValueMemberBS{Value: v.BinarySet()}, nil
	case events.DataTypeMap:
		row, err := FromImage(v.Map())
		return &types.AttributeValueMemberM{Value: row}, err
	case events.DataTypeList:
		list := make([]types.AttributeValue, len(v.List()))
		for i, item := range v.List() {
			value, err := fromStream(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	}
	return nil, errImage
}

// Bytes is about how much a row takes in its table: "DynamoDB item sizes and formats" in
// the DynamoDB Developer Guide.
func Bytes(row Row) int {
	bytes := 0
	for name, value := range row {
		bytes += len(name) + size(value)
	}
	return bytes
}

func size(v types.AttributeValue) int {
	const around = 3 // of a list or map, besides a byte for each of its members
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return len(v.Value)/2 + 2
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberM:
		return around + len(v.Value) + Bytes(v.Value)
	case *types.AttributeValueMemberL:
		bytes := around + len(v.Value)
		for _, item := range v.Value {
			bytes += size(item)
		}
		return bytes
	case *types.AttributeValueMemberSS:
		return total(v.Value)
	case *types.AttributeValueMemberNS:
		return total(v.Value)
	case *types.AttributeValueMemberBS:
		return total(v.Value)
	}
	return 1 // BOOL, NULL
}

func total[T ~string | ~[]byte](values []T) int {
	bytes := 0
	for _, v := range values {
		bytes += len(v)
	}
	return bytes
}
