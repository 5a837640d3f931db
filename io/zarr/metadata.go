package zarr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// maxMetaBytes is the largest zarr.json that is read.
const maxMetaBytes = 16 << 20

// arrayJSON is zarr.json of an array, in the order of writing.
type arrayJSON struct {
	ZarrFormat       int             `json:"zarr_format"`
	NodeType         string          `json:"node_type"`
	Shape            []int           `json:"shape"`
	DataType         json.RawMessage `json:"data_type"`
	ChunkGrid        extension       `json:"chunk_grid"`
	ChunkKeyEncoding extension       `json:"chunk_key_encoding"`
	FillValue        json.RawMessage `json:"fill_value"`
	Codecs           []extension     `json:"codecs"`
	Attributes       map[string]any  `json:"attributes,omitempty"`
	DimensionNames   []*string       `json:"dimension_names,omitempty"`
	Transformers     []extension     `json:"storage_transformers,omitempty"`
}

// extension is the specification's form for a thing with a name and a configuration; without one it may be the name alone.
type extension struct {
	Name          string          `json:"name"`
	Configuration json.RawMessage `json:"configuration,omitempty"`
}

func (e *extension) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &e.Name)
	}
	type plain extension
	return json.Unmarshal(data, (*plain)(e))
}

// configure decodes the configuration into c. Fields that c does not have would change the meaning, and are refused.
func (e extension) configure(c any) error {
	if len(e.Configuration) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(e.Configuration))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return fmt.Errorf("%w: configuration of %.40q: %.200v", ErrMalformed, e.Name, err)
	}
	return nil
}

// checkNode makes sure that zarr.json is of version 3, of the node type, and holds no field that we would have to understand.
func checkNode(data []byte, node string, known ...string) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("%w: %.200v", ErrMalformed, err)
	}
	if v := string(fields["zarr_format"]); v != "3" {
		return fmt.Errorf("%w: zarr_format %.20q, want 3", ErrUnsupported, v)
	}
	if n := string(fields["node_type"]); n != `"`+node+`"` {
		return fmt.Errorf("%w: node_type %.20s, want %q", ErrMalformed, n, node)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var optional struct {
			MustUnderstand *bool `json:"must_understand"`
		}
		if slices.Contains(known, name) {
			continue
		}
		if json.Unmarshal(fields[name], &optional) != nil || optional.MustUnderstand == nil || *optional.MustUnderstand {
			return fmt.Errorf("%w: field %.40q", ErrUnsupported, name)
		}
	}
	return nil
}

// parseArray reads zarr.json of an array.
func parseArray(data []byte) (Meta, layout, error) {
	err := checkNode(data, "array", "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
		"fill_value", "codecs", "attributes", "dimension_names", "storage_transformers")
	if err != nil {
		return Meta{}, layout{}, err
	}
	var j arrayJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return Meta{}, layout{}, fmt.Errorf("%w: %.200v", ErrMalformed, err)
	}
	return j.read()
}

func (j *arrayJSON) read() (Meta, layout, error) {
	m := Meta{Shape: j.Shape, Attributes: j.Attributes}
	if j.Shape == nil {
		return m, layout{}, fmt.Errorf("%w: no shape", ErrMalformed)
	}
	if len(j.Transformers) > 0 {
		return m, layout{}, fmt.Errorf("%w: storage transformer %.40q", ErrUnsupported, j.Transformers[0].Name)
	}
	for _, name := range j.DimensionNames {
		if name == nil {
			name = new(string)
		}
		m.DimensionNames = append(m.DimensionNames, *name)
	}
	if json.Unmarshal(j.DataType, &m.DType) != nil || m.DType.width() == 0 {
		return m, layout{}, fmt.Errorf("%w: data type %.40s", ErrUnsupported, j.DataType)
	}
	l := layout{width: m.DType.width()}
	if err := j.readGrid(&m, &l); err != nil {
		return m, l, err
	}
	if err := m.check(); err != nil {
		return m, l, err
	}
	var err error
	if l.fill, err = parseFill(j.FillValue, m.DType); err != nil {
		return m, l, err
	}
	l.place(m)
	return m, l, nil
}

// readGrid reads what divides the array into objects and objects into chunks.
func (j *arrayJSON) readGrid(m *Meta, l *layout) error {
	if j.ChunkGrid.Name != "regular" {
		return fmt.Errorf("%w: chunk grid %.40q", ErrUnsupported, j.ChunkGrid.Name)
	}
	var grid struct {
		ChunkShape []int `json:"chunk_shape"`
	}
	if err := j.ChunkGrid.configure(&grid); err != nil {
		return err
	}
	m.Chunk = grid.ChunkShape
	var err error
	if l.chunkKeys, err = parseKeyEncoding(j.ChunkKeyEncoding); err != nil {
		return err
	}
	if len(j.Codecs) == 0 || j.Codecs[0].Name != "sharding_indexed" {
		l.inner, l.bigEndian, err = parseCodecs(j.Codecs, l.width)
		return err
	}
	if len(j.Codecs) > 1 {
		return fmt.Errorf("%w: codec %.40q around shards", ErrUnsupported, j.Codecs[1].Name)
	}
	m.Shard = slices.Clone(m.Chunk)
	if m.Shard == nil {
		m.Shard = []int{} // sharded, though without axes
	}
	l.sharded = true
	return parseSharding(j.Codecs[0], m, l)
}

// place derives the numbers that readers and writers work with from shapes that are checked.
func (l *layout) place(m Meta) {
	l.chunk, l.grid = m.Chunk, m.Chunk
	if l.sharded {
		l.grid = m.Shard
	}
	l.chunks = make([]int, len(l.grid))
	for i := range l.grid {
		l.chunks[i] = l.grid[i] / l.chunk[i]
	}
}

func parseKeyEncoding(e extension) (keyEncoding, error) {
	var c struct {
		Separator string `json:"separator"`
	}
	k := keyEncoding{prefix: "c", separator: "/"}
	if e.Name == "v2" {
		k = keyEncoding{separator: "."}
	} else if e.Name != "default" {
		return k, fmt.Errorf("%w: chunk key encoding %.40q", ErrUnsupported, e.Name)
	}
	if err := e.configure(&c); err != nil {
		return k, err
	}
	if c.Separator != "" {
		k.separator = c.Separator
	}
	if k.separator != "/" && k.separator != "." {
		return k, fmt.Errorf("%w: separator %.40q of chunk keys", ErrMalformed, c.Separator)
	}
	return k, nil
}

// parseSharding reads the configuration of the sharding codec.
func parseSharding(e extension, m *Meta, l *layout) error {
	c := struct {
		ChunkShape    []int       `json:"chunk_shape"`
		Codecs        []extension `json:"codecs"`
		IndexCodecs   []extension `json:"index_codecs"`
		IndexLocation string      `json:"index_location"`
	}{IndexLocation: "end"}
	if err := e.configure(&c); err != nil {
		return err
	}
	m.Chunk = c.ChunkShape
	var err error
	if l.inner, l.bigEndian, err = parseCodecs(c.Codecs, l.width); err != nil {
		return err
	}
	l.index, err = parseIndexFormat(c.IndexCodecs, c.IndexLocation)
	return err
}

// readAtMost reads a stream of at most limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", ErrUnsupported, limit)
	}
	return data, err
}
