// Package tfevents writes and reads TensorBoard event files: scalars by tag and step.
//
// A file is a sequence of TFRecords, each a length, its checksum, the bytes of one Event
// message of protocol buffers, and their checksum; checksums are CRC-32C, rotated and
// offset as TensorFlow masks them. The first record names the version. The same scalars
// give the same bytes, and more of them only lengthen a file, so that one in an object
// store is replaced as a whole and readers go on where they were.
//
// Formats: tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto,
// of which the fields wall_time (1), step (2), file_version (3) and summary (5) with
// value.tag (1) and value.simple_value (2) are used.
package tfevents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Name is what a file may be called: TensorBoard takes any whose name holds tfevents.
const Name = "events.out.tfevents.noisystudent"

const fileVersion = "brain.Event:2"

// ErrMalformed is the error of bytes that are not an event file, or not all of one.
var ErrMalformed = errors.New("malformed event file")

// Scalar is one value of a curve.
type Scalar struct {
	Tag   string // words before a slash name the group, as in loss/total
	Step  int64
	Time  float64 // seconds since 1970, at which it was measured
	Value float32
}

// Encode returns a file of scalars, which began at a time in seconds since 1970. Scalars
// that follow one another with the same step and time share an event.
func Encode(began float64, scalars []Scalar) []byte {
	file := appendRecord(nil, protowire.AppendString(appendTag(head(began, 0), 3, protowire.BytesType), fileVersion))
	for first := 0; first < len(scalars); {
		s := scalars[first]
		var summary []byte
		next := first
		for ; next < len(scalars) && scalars[next].Step == s.Step && scalars[next].Time == s.Time; next++ {
			v := protowire.AppendString(appendTag(nil, 1, protowire.BytesType), scalars[next].Tag)
			v = protowire.AppendFixed32(appendTag(v, 2, protowire.Fixed32Type), math.Float32bits(scalars[next].Value))
			summary = protowire.AppendBytes(appendTag(summary, 1, protowire.BytesType), v)
		}
		file = appendRecord(file, protowire.AppendBytes(appendTag(head(s.Time, s.Step), 5, protowire.BytesType), summary))
		first = next
	}
	return file
}

func appendTag(b []byte, n protowire.Number, t protowire.Type) []byte {
	return protowire.AppendTag(b, n, t)
}

// head begins an event.
func head(time float64, step int64) []byte {
	b := protowire.AppendFixed64(appendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(time))
	if step != 0 {
		b = protowire.AppendVarint(appendTag(b, 2, protowire.VarintType), uint64(step))
	}
	return b
}

func appendRecord(file, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	file = binary.LittleEndian.AppendUint32(append(file, length...), checksum(length))
	return binary.LittleEndian.AppendUint32(append(file, data...), checksum(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C, masked: the checksum of bytes that hold their own checksum is poor.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Decode returns the scalars of a file; what else events may hold is passed over. The
// error is ErrMalformed.
func Decode(file []byte) ([]Scalar, error) {
	var list []Scalar
	for n := 0; len(file) > 0; n++ {
		data, rest, err := record(file)
		if err == nil {
			list, err = appendEvent(list, data)
		}
		if err != nil {
			return nil, fmt.Errorf("tfevents: record %d: %w", n, err)
		}
		file = rest
	}
	return list, nil
}

// record cuts the first record off.
func record(file []byte) (data, rest []byte, err error) {
	if len(file) < 12 || binary.LittleEndian.Uint32(file[8:]) != checksum(file[:8]) {
		return nil, nil, fmt.Errorf("%w: its length is cut off or damaged", ErrMalformed)
	}
	n := binary.LittleEndian.Uint64(file)
	file = file[12:]
	if n > uint64(len(file)) || uint64(len(file))-n < 4 {
		return nil, nil, fmt.Errorf("%w: %d bytes are left of %d and a checksum", ErrMalformed, len(file), n)
	}
	data, rest = file[:n], file[n+4:]
	if binary.LittleEndian.Uint32(file[n:]) != checksum(data) {
		return nil, nil, fmt.Errorf("%w: the checksum differs", ErrMalformed)
	}
	return data, rest, nil
}

func appendEvent(list []Scalar, data []byte) ([]Scalar, error) {
	var event Scalar
	first := len(list)
	err := fields(data, func(n protowire.Number, f field) error {
		switch n {
		case 1:
			event.Time = math.Float64frombits(f.number)
		case 2:
			event.Step = int64(f.number)
		case 5:
			return fields(f.bytes, func(n protowire.Number, f field) error {
				if n != 1 {
					return nil
				}
				var s Scalar
				err := fields(f.bytes, func(n protowire.Number, f field) error {
					switch n {
					case 1:
						s.Tag = string(f.bytes)
					case 2:
						s.Value = math.Float32frombits(uint32(f.number))
					}
					return nil
				})
				list = append(list, s)
				return err
			})
		}
		return nil
	})
	for i := range list[first:] {
		list[first+i].Step, list[first+i].Time = event.Step, event.Time
	}
	return list, err
}

// field is a value of a message: a number of any width, or bytes.
type field struct {
	number uint64
	bytes  []byte
}

// fields calls visit with those of a message, in order.
func fields(data []byte, visit func(protowire.Number, field) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		data = data[n:]
		var f field
		switch kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			f.number = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		data = data[n:]
		if err := visit(number, f); err != nil {
			return err
		}
	}
	return nil
}
