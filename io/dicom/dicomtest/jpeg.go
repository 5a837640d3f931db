package dicomtest

import (
	"encoding/binary"
	"math/bits"
)

// JPEGOptions say how PackJPEG codes.
type JPEGOptions struct {
	Predictor int // 1 to 7
	Precision int // bits of a sample, up to 16
	Shift     int // low bits that are dropped
	Restart   int // rows between restarts, 0: none
}

// PackJPEG is one frame of little-endian words, of 16 bits where the precision is above
// 8, in lossless JPEG. Its Huffman code has five bits for each of 17 categories.
func PackJPEG(b []byte, rows, columns int, o JPEGOptions) []byte {
	sample := func(y, x int) int {
		at := y*columns + x
		if o.Precision <= 8 {
			return int(b[at]) >> o.Shift
		}
		return int(binary.LittleEndian.Uint16(b[2*at:])) & (1<<o.Precision - 1) >> o.Shift
	}
	out := []byte{0xff, 0xd8}
	out = append(out, 0xff, 0xc4, 0, 2+17+17, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for category := range 17 {
		out = append(out, byte(category))
	}
	out = append(out, 0xff, 0xc3, 0, 11, byte(o.Precision), byte(rows>>8), byte(rows), byte(columns>>8), byte(columns), 1, 1, 0x11, 0)
	if o.Restart > 0 {
		n := o.Restart * columns
		out = append(out, 0xff, 0xdd, 0, 4, byte(n>>8), byte(n))
	}
	out = append(out, 0xff, 0xda, 0, 8, 1, 1, 0, byte(o.Predictor), 0, byte(o.Shift))
	w := bitWriter{out: out}
	for y := range rows {
		fresh := y == 0
		if o.Restart > 0 && y > 0 && y%o.Restart == 0 {
			w.flush()
			w.out = append(w.out, 0xff, byte(0xd0+(y/o.Restart-1)%8))
			fresh = true
		}
		for x := range columns {
			var predicted int
			switch {
			case x == 0 && fresh:
				predicted = 1 << (o.Precision - o.Shift - 1)
			case x == 0:
				predicted = sample(y-1, 0)
			case fresh:
				predicted = sample(y, x-1)
			default:
				predicted = guess(o.Predictor, sample(y, x-1), sample(y-1, x), sample(y-1, x-1))
			}
			w.difference(int(int16(sample(y, x) - predicted)))
		}
	}
	w.flush()
	return append(w.out, 0xff, 0xd9)
}

// guess is annex H's table H.1.
func guess(predictor, a, b, c int) int {
	return [8]int{0, a, b, c, a + b - c, a + (b-c)>>1, b + (a-c)>>1, (a + b) >> 1}[predictor]
}

type bitWriter struct {
	out  []byte
	held uint64
	n    int
}

func (w *bitWriter) put(v, n int) {
	w.held, w.n = w.held<<n|uint64(v), w.n+n
	for w.n >= 8 {
		w.n -= 8
		v := byte(w.held >> w.n)
		if w.out = append(w.out, v); v == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

// flush fills the last byte with ones.
func (w *bitWriter) flush() {
	if w.n > 0 {
		w.put(1<<(8-w.n)-1, 8-w.n)
	}
}

func (w *bitWriter) difference(d int) {
	size := bits.Len(uint(max(d, -d)))
	w.put(size, 5)
	switch {
	case size == 16 || size == 0: // -32768 stands for 32768, too
	case d < 0:
		w.put(d+1<<size-1, size)
	default:
		w.put(d, size)
	}
}
