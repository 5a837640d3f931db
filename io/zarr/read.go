package zarr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"noisystudent/io/store"
)

// Open opens an array for reading. One that does not exist, or whose writing never ended, is fs.ErrNotExist.
func Open(ctx context.Context, st *store.Store, prefix string) (*Array, error) {
	data, err := readMeta(ctx, st, prefix)
	if err != nil {
		return nil, fmt.Errorf("zarr: open %s: %w", prefix, err)
	}
	m, l, err := parseArray(data)
	if err != nil {
		return nil, fmt.Errorf("zarr: open %s: %w", prefix, err)
	}
	return &Array{Meta: m, store: st, prefix: prefix, layout: l}, nil
}

func readMeta(ctx context.Context, st *store.Store, prefix string) ([]byte, error) {
	r, err := st.Open(ctx, metaKey(prefix))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAtMost(r, maxMetaBytes)
}

// ReadBox reads the elements with lo <= index < hi, which must lie within the array, into dst in the array's order. T must be
// the array's type and dst have one element for each of the box. It reads and unpacks only the chunks that the box touches,
// several at a time; after an error dst holds anything.
func ReadBox[T Element](ctx context.Context, a *Array, lo, hi []int, dst []T) error {
	if err := a.checkBox(lo, hi, len(dst), dtypeOf[T]()); err != nil {
		return fmt.Errorf("zarr: read %s: %w", a.prefix, err)
	}
	if len(dst) == 0 {
		return nil
	}
	shape := make([]int, len(lo))
	for i := range lo {
		shape[i] = hi[i] - lo[i]
	}
	r := reader{array: a, lo: lo, hi: hi, dst: block{data: bytesOf(dst), shape: shape, at: lo}}
	return r.run(ctx)
}

func (a *Array) checkBox(lo, hi []int, elements int, d DType) error {
	if d != a.Meta.DType {
		return fmt.Errorf("elements of %s are not %s", a.Meta.DType, d)
	}
	rank := len(a.Meta.Shape)
	if len(lo) != rank || len(hi) != rank {
		return fmt.Errorf("box %v to %v in an array of %d axes", lo, hi, rank)
	}
	n := 1
	for i, s := range a.Meta.Shape {
		if lo[i] < 0 || hi[i] < lo[i] || hi[i] > s {
			return fmt.Errorf("box %v to %v in an array of %v", lo, hi, a.Meta.Shape)
		}
		n *= hi[i] - lo[i]
	}
	if n != elements {
		return fmt.Errorf("box %v to %v has %d elements, the destination %d", lo, hi, n, elements)
	}
	return nil
}

// readers is how many chunks are read at a time: enough to hide the latency of a bucket, and of memory one chunk each.
const readers = 8

// reader is one call of ReadBox.
type reader struct {
	array  *Array
	lo, hi []int
	dst    block
}

// run hands the chunks of the box to the readers. They write to disjoint parts of dst.
func (r *reader) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan []int)
	var wg sync.WaitGroup
	first, last := r.chunks()
	for range min(readers, r.count(first, last)) {
		wg.Go(func() { r.work(ctx, cancel, chunks) })
	}
	for at := range boxes(first, last) {
		chunks <- slices.Clone(at)
	}
	close(chunks)
	wg.Wait()
	return context.Cause(ctx)
}

// work reads chunks into memory that it uses again for the next. After an error it takes the rest without reading.
func (r *reader) work(ctx context.Context, cancel context.CancelCauseFunc, chunks <-chan []int) {
	var scratch []byte
	for at := range chunks {
		if ctx.Err() != nil {
			continue
		}
		data, err := r.array.readChunk(ctx, at, scratch)
		if err != nil {
			cancel(fmt.Errorf("zarr: read chunk %v of %s: %w", at, r.array.prefix, err))
			continue
		}
		r.copy(at, data)
		if data != nil {
			scratch = data
		}
	}
}

// chunks is the range of the chunk grid that the box touches.
func (r *reader) chunks() (first, last []int) {
	first, last = make([]int, len(r.lo)), make([]int, len(r.lo))
	for i, c := range r.array.layout.chunk {
		first[i], last[i] = r.lo[i]/c, ceilDiv(r.hi[i], c)
	}
	return first, last
}

func (r *reader) count(first, last []int) int {
	n := 1
	for i := range first {
		n = min(n*(last[i]-first[i]), readers)
	}
	return n
}

// copy puts the box's part of the chunk at a place of the chunk grid into dst.
func (r *reader) copy(at []int, data []byte) {
	a := r.array
	lo, hi := clip(at, a.layout.chunk, r.lo, r.hi)
	if data == nil {
		fillBox(r.dst, a.layout.fill, lo, hi)
		return
	}
	src := block{data: data, shape: a.layout.chunk, at: make([]int, len(at))}
	for i := range at {
		src.at[i] = at[i] * a.layout.chunk[i]
	}
	copyBox(r.dst, src, lo, hi, a.layout.width)
}

// readChunk returns the bytes of a chunk, in the scratch memory if they fit, nil for a chunk that is all fill value.
func (a *Array) readChunk(ctx context.Context, at []int, scratch []byte) ([]byte, error) {
	packed, err := a.readPacked(ctx, at)
	if err != nil || packed == nil {
		return nil, err
	}
	return a.layout.unpack(packed, scratch)
}

func (a *Array) readPacked(ctx context.Context, at []int) ([]byte, error) {
	if !a.layout.sharded {
		return a.readObject(ctx, a.layout.chunkKeys.key(at))
	}
	shard := make([]int, len(at))
	inside := 0
	for i, n := range a.layout.chunks {
		shard[i] = at[i] / n
		inside = inside*n + at[i]%n
	}
	key := a.layout.chunkKeys.key(shard)
	spans, err := a.spans(ctx, key)
	if err != nil || spans == nil || spans[inside].offset == missing {
		return nil, err
	}
	s := spans[inside]
	return a.store.ReadRange(ctx, path.Join(a.prefix, key), int64(s.offset), int64(s.bytes))
}

// readObject reads a chunk that is an object of its own, if it is stored.
func (a *Array) readObject(ctx context.Context, key string) ([]byte, error) {
	r, err := a.store.Open(ctx, path.Join(a.prefix, key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAtMost(r, int64(packedLimit(a.layout.chunkBytes())))
}
