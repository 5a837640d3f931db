package zarr

import (
	"iter"
	"unsafe"
)

// bytesOf views elements as the little-endian bytes that are stored. All platforms of this project are little-endian.
func bytesOf[T Element](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

func init() {
	one := []int16{1}
	if bytesOf(one)[0] != 1 {
		panic("zarr: this machine is big-endian")
	}
}

// block is a box of elements in memory: the shape that the memory has and the place of its first element in the array.
type block struct {
	data  []byte
	shape []int
	at    []int
}

// copyBox copies the elements lo <= index < hi of the array, which both blocks hold, row by row.
func copyBox(dst, src block, lo, hi []int, width int) {
	for at, n := range rows(lo, hi) {
		copy(dst.row(at, n, width), src.row(at, n, width))
	}
}

// fillBox sets the elements lo <= index < hi of the array to the fill value.
func fillBox(dst block, fill []byte, lo, hi []int) {
	for at, n := range rows(lo, hi) {
		fillWith(dst.row(at, n, len(fill)), fill)
	}
}

// rows yields the index at which each row of a box begins, and its length. An array without axes is one row of 1.
func rows(lo, hi []int) iter.Seq2[[]int, int] {
	n := 1
	if last := len(lo) - 1; last >= 0 {
		n = hi[last] - lo[last]
		hi = append(append([]int(nil), hi[:last]...), lo[last]+min(n, 1))
	}
	return func(yield func([]int, int) bool) {
		for at := range boxes(lo, hi) {
			if !yield(at, n) {
				return
			}
		}
	}
}

// row is the memory of the n elements from an index on.
func (b block) row(at []int, n, width int) []byte {
	offset := 0
	for i, x := range at {
		offset = offset*b.shape[i] + x - b.at[i]
	}
	return b.data[offset*width : (offset+n)*width]
}

// boxes yields the indices lo <= index < hi, the last axis fastest. The slice is reused.
func boxes(lo, hi []int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		at := append([]int(nil), lo...)
		for i := range lo {
			if lo[i] >= hi[i] {
				return
			}
		}
		for {
			if !yield(at) {
				return
			}
			i := len(at) - 1
			for ; i >= 0; i-- {
				if at[i]++; at[i] < hi[i] {
					break
				}
				at[i] = lo[i]
			}
			if i < 0 {
				return
			}
		}
	}
}

// fillWith repeats the bytes of one element over dst.
func fillWith(dst, element []byte) {
	n := copy(dst, element)
	for n < len(dst) {
		n += copy(dst[n:], dst[:n])
	}
}

// isFill reports whether every element of data is the fill value, bit by bit: a stored -0 is not a fill of 0.
func isFill(data, element []byte) bool {
	if len(data) < len(element) || string(data[:len(element)]) != string(element) {
		return false
	}
	return string(data[len(element):]) == string(data[:len(data)-len(element)])
}

// clip returns the part of the box at*size <= index < (at+1)*size that lies within lo and hi.
func clip(at, size, lo, hi []int) (from, to []int) {
	from, to = make([]int, len(at)), make([]int, len(at))
	for i := range at {
		from[i] = max(lo[i], at[i]*size[i])
		to[i] = min(hi[i], (at[i]+1)*size[i])
	}
	return from, to
}
