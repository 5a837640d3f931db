package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"
)

// metadataName is the one name in the header that is no tensor.
const metadataName = "__metadata__"

// maxRank is far above what any framework can make.
const maxRank = 64

// entry is one tensor of the header; its bytes are data[begin:end].
type entry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int64
}

// header reads JSON token by token: the map decoding of encoding/json would let a second tensor of the same name replace
// the first silently, and match field names in any case.
type header struct{ json *json.Decoder }

func parseHeader(data []byte) ([]entry, map[string]string, error) {
	if !utf8.Valid(data) {
		return nil, nil, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	if len(data) == 0 || data[0] != '{' {
		return nil, nil, fmt.Errorf("%w: does not begin with {", ErrMalformed)
	}
	h := header{json.NewDecoder(bytes.NewReader(data))}
	h.json.UseNumber()
	var entries []entry
	var metadata map[string]string
	err := h.object(func(name string) (err error) {
		if name == metadataName {
			metadata, err = h.metadata()
			return err
		}
		e, err := h.entry(name)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := h.json.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("%w: more than one JSON value", ErrMalformed)
	}
	return entries, metadata, nil
}

// object reads an object and calls field after each name, which must be new.
func (h header) object(field func(name string) error) error {
	if err := h.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for h.json.More() {
		name, err := h.text()
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%w: the name %.100q twice", ErrMalformed, name)
		}
		seen[name] = true
		if err := field(name); err != nil {
			return err
		}
	}
	return h.delim('}')
}

func (h header) metadata() (map[string]string, error) {
	m := map[string]string{}
	err := h.object(func(name string) (err error) {
		m[name], err = h.text()
		return err
	})
	return m, err
}

func (h header) entry(name string) (entry, error) {
	e := entry{name: name, begin: -1}
	err := h.object(func(field string) (err error) {
		switch field {
		case "dtype":
			e.dtype, err = h.text()
		case "shape":
			err = h.shape(&e)
		case "data_offsets":
			err = h.offsets(&e)
		default:
			err = fmt.Errorf("%w: unknown field %.100q", ErrMalformed, field)
		}
		return err
	})
	if err == nil && (e.dtype == "" || e.shape == nil || e.begin < 0) {
		err = fmt.Errorf("%w: dtype, shape or data_offsets is missing", ErrMalformed)
	}
	if err != nil {
		err = fmt.Errorf("tensor %.100q: %w", name, err)
	}
	return e, err
}

func (h header) shape(e *entry) error {
	dims, err := h.numbers(maxRank)
	e.shape = make([]int, len(dims))
	for i, d := range dims {
		e.shape[i] = int(d)
	}
	return err
}

func (h header) offsets(e *entry) error {
	pair, err := h.numbers(2)
	if err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%w: %d data_offsets", ErrMalformed, len(pair))
	}
	e.begin, e.end = pair[0], pair[1]
	return nil
}

// numbers reads a list of at most limit integers from 0 up.
func (h header) numbers(limit int) ([]int64, error) {
	if err := h.delim('['); err != nil {
		return nil, err
	}
	var list []int64
	for h.json.More() {
		t, err := h.token()
		if err != nil {
			return nil, err
		}
		n, _ := t.(json.Number)
		v, err := strconv.ParseInt(string(n), 10, 0)
		if err != nil || v < 0 || len(list) == limit {
			return nil, fmt.Errorf("%w: %.100v where the header has at most %d integers from 0 up", ErrMalformed, t, limit)
		}
		list = append(list, v)
	}
	return list, h.delim(']')
}

func (h header) text() (string, error) {
	t, err := h.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%w: %.100v where the header has a text", ErrMalformed, t)
	}
	return s, nil
}

func (h header) delim(want json.Delim) error {
	t, err := h.token()
	if err == nil && t != want {
		err = fmt.Errorf("%w: %.100v where the header has %v", ErrMalformed, t, want)
	}
	return err
}

func (h header) token() (json.Token, error) {
	t, err := h.json.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %.200v", ErrMalformed, err)
	}
	return t, nil
}

// checkLayout sorts the entries by place and makes sure that they tile the data and that their sizes fit their shapes.
func checkLayout(entries []entry, size int64) error {
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		return a.begin < b.begin || a.begin == b.begin && a.end < b.end
	})
	var at int64
	for _, e := range entries {
		if e.begin != at || e.end < e.begin || e.end > size {
			return fmt.Errorf("%w: tensor %.100q lies at [%d, %d), want from %d within %d", ErrMalformed, e.name, e.begin, e.end, at, size)
		}
		if err := e.checkSize(); err != nil {
			return fmt.Errorf("tensor %.100q: %w", e.name, err)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%w: %d bytes after the last tensor", ErrMalformed, size-at)
	}
	return nil
}

// checkSize compares the bytes with dtype and shape.
func (e entry) checkSize() error {
	width := int64(width(e.dtype))
	if width == 0 {
		return fmt.Errorf("%w: dtype %.20q", ErrUnsupported, e.dtype)
	}
	n := e.end - e.begin
	if elements, ok := count(e.shape); !ok || n%width != 0 || elements != n/width {
		return fmt.Errorf("%w: %d bytes for shape %v of %s", ErrMalformed, n, e.shape, e.dtype)
	}
	return nil
}

// count multiplies the axes; ok is false for a product that no slice can have, or for negative axes.
func count(shape []int) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d > 0 && n > math.MaxInt64/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}
