package nifti

import (
	"encoding/binary"
	"fmt"
)

// pieceBytes is how much of the stream is decoded at a time: it stays in the L2
// cache between decompression and conversion.
const pieceBytes = 1 << 18

// values decodes the voxels of an image in the file's order.
func (f *file) values() ([]float32, error) {
	bad := tally{shape: f.frame.Shape}
	scaled := !f.scaling().none()
	data, err := decodeAll(f, func(dst []float32, src []byte, at int) {
		f.header.typ.decode(dst, src, f.scaling())
		if !f.header.typ.float && !scaled {
			return
		}
		for i, v := range dst {
			if v-v != 0 { // NaN and infinities only
				bad.add(at+i, v)
			}
		}
	})
	if err == nil && bad.n > 0 {
		err = fmt.Errorf("%w: %d voxels, the first at %s", ErrNonFinite, bad.n, bad.place())
	}
	if err != nil {
		return nil, fmt.Errorf("nifti: read voxels: %w", err)
	}
	return data, nil
}

// short decodes stored values of at most 16 bits in the file's order; values that
// scaling takes beyond float32 are refused as values does it.
func (f *file) short() ([]int16, error) {
	bad := tally{shape: f.frame.Shape}
	data, err := decodeAll(f, func(dst []int16, src []byte, at int) {
		f.header.typ.short(dst, src)
		if f.scaling().none() {
			return
		}
		for i, v := range dst {
			stored := float64(v)
			if f.header.typ.unsigned {
				stored = float64(uint16(v))
			}
			if w := f.scaling().apply(stored); w-w != 0 {
				bad.add(at+i, w)
			}
		}
	})
	if err == nil && bad.n > 0 {
		err = fmt.Errorf("%w: %d voxels, the first at %s", ErrNonFinite, bad.n, bad.place())
	}
	if err != nil {
		return nil, fmt.Errorf("nifti: read voxels: %w", err)
	}
	return data, nil
}

// labels decodes the voxels of a label map in the file's order.
func (f *file) labels() ([]uint8, error) {
	bad := tally{shape: f.frame.Shape}
	piece := make([]float32, pieceBytes/f.header.typ.bytes)
	data, err := decodeAll(f, func(dst []uint8, src []byte, at int) {
		if f.header.typ.name == "uint8" && f.scaling().none() {
			copy(dst, src)
			return
		}
		values := piece[:len(dst)]
		f.header.typ.decode(values, src, f.scaling())
		for i, v := range values {
			if !(v >= 0 && v <= 255) || v != float32(uint8(v)) {
				bad.add(at+i, v)
				continue
			}
			dst[i] = uint8(v)
		}
	})
	if err == nil && bad.n > 0 {
		err = fmt.Errorf("%w: %d voxels are not whole numbers from 0 to 255, the first is %g at %s",
			ErrLabels, bad.n, bad.first, bad.place())
	}
	if err != nil {
		return nil, fmt.Errorf("nifti: read labels: %w", err)
	}
	return data, nil
}

func (f *file) scaling() scaling { return scaling{f.header.slope, f.header.inter} }

// decodeAll reads all voxels by pieces: decode fills dst, the voxels from index
// at on, from little-endian bytes.
func decodeAll[T float32 | uint8 | int16](f *file, decode func(dst []T, src []byte, at int)) ([]T, error) {
	n, width := f.frame.voxels(), f.header.typ.bytes
	raw := make([]byte, min(pieceBytes, n*width))
	var data []T
	if f.exact() {
		data = make([]T, 0, n)
	}
	for at := 0; at < n; {
		count := min(len(raw)/width, n-at)
		src := raw[:count*width]
		if err := f.read(src); err != nil {
			return nil, fmt.Errorf("voxel %d of %d: %w", at, n, err)
		}
		if f.header.order == binary.BigEndian {
			swap(src, width)
		}
		data = extend(data, count, n)
		decode(data[at:], src, at)
		at += count
	}
	return data, f.finish()
}

// trusted is the number of voxels whose memory is taken on a header's word alone.
const trusted = 1 << 20

// extend lengthens data by count elements on its way to n. Memory follows what
// has arrived: capacities are n, n/8, n/64, ... and the next one is taken when
// the one before is full. So a header that lies costs at most eight times what
// the file really holds, and an honest one an eighth more than its volume.
func extend[T any](data []T, count, n int) []T {
	need := len(data) + count
	if need <= cap(data) {
		return data[:need]
	}
	next := n
	for smaller := n/8 + 1; smaller >= need && next > trusted; smaller = next/8 + 1 {
		next = smaller
	}
	longer := make([]T, need, next)
	copy(longer, data)
	return longer
}

// tally counts bad voxels and remembers the first.
type tally struct {
	shape [3]int // stored
	n, at int
	first float32
}

func (t *tally) add(at int, v float32) {
	if t.n == 0 {
		t.at, t.first = at, v
	}
	t.n++
}

// place gives the first bad voxel in the file's indices, as other tools count.
func (t *tally) place() string {
	x, y := t.at%t.shape[2], t.at/t.shape[2]%t.shape[1]
	return fmt.Sprintf("(i, j, k) = (%d, %d, %d)", x, y, t.at/t.shape[2]/t.shape[1])
}
