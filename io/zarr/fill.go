package zarr

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseFill reads the fill value into the little-endian bytes of one element.
func parseFill(value json.RawMessage, d DType) ([]byte, error) {
	if d == Float32 {
		bits, err := parseFloatFill(value)
		return binary.LittleEndian.AppendUint32(nil, bits), err
	}
	bits := 8 * d.width()
	var all uint64
	var err error
	if d == Uint8 {
		all, err = strconv.ParseUint(string(value), 10, bits)
	} else {
		var v int64
		v, err = strconv.ParseInt(string(value), 10, bits)
		all = uint64(v)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: fill value %.40q of %s", ErrMalformed, value, d)
	}
	return binary.LittleEndian.AppendUint64(nil, all)[:d.width()], nil
}

// parseFloatFill reads a number, "NaN", "Infinity", "-Infinity" or the bits as "0x7fc00000".
func parseFloatFill(value json.RawMessage) (uint32, error) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		v, err := strconv.ParseFloat(string(value), 32)
		if err != nil {
			return 0, fmt.Errorf("%w: fill value %.40q of float32", ErrMalformed, value)
		}
		return math.Float32bits(float32(v)), nil
	}
	switch text {
	case "NaN":
		return 0x7fc00000, nil // the one that the specification names
	case "Infinity":
		return math.Float32bits(float32(math.Inf(1))), nil
	case "-Infinity":
		return math.Float32bits(float32(math.Inf(-1))), nil
	}
	digits, found := strings.CutPrefix(text, "0x")
	b, err := hex.DecodeString(digits)
	if !found || err != nil || len(b) != 4 {
		return 0, fmt.Errorf("%w: fill value %.40q of float32", ErrMalformed, text)
	}
	return binary.BigEndian.Uint32(b), nil
}
