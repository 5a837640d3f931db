package cpu

// tap is one input position of an output position along an axis, and which
// element of the kernel meets it.
type tap struct{ in, k int }

// forwardTaps lists, for each output position of a convolution, its taps.
func forwardTaps(in, out, kernel, stride, pad int) [][]tap {
	list := make([][]tap, out)
	for o := range list {
		for k := range kernel {
			if i := o*stride - pad + k; i >= 0 && i < in {
				list[o] = append(list[o], tap{i, k})
			}
		}
	}
	return list
}

// backwardTaps lists, for each input position of that convolution, the output
// positions that it feeds: the transposed map.
func backwardTaps(in, out, kernel, stride, pad int) [][]tap {
	list := make([][]tap, in)
	for o := range out {
		for k := range kernel {
			if i := o*stride - pad + k; i >= 0 && i < in {
				list[i] = append(list[i], tap{o, k})
			}
		}
	}
	return list
}

// span returns the first input position of a range of positions and how many it
// needs from there on; 0 where it needs none.
func span(taps [][]tap, from, to int) (first, count int) {
	first, last := -1, -1
	for _, list := range taps[from:to] {
		for _, t := range list {
			if first < 0 || t.in < first {
				first = t.in
			}
			last = max(last, t.in)
		}
	}
	if first < 0 {
		return 0, 0
	}
	return first, last - first + 1
}

// widest returns the largest span of any part of len positions.
func widest(taps [][]tap, length int) int {
	n := 0
	for o := 0; o < len(taps); o += length {
		_, count := span(taps, o, min(len(taps), o+length))
		n = max(n, count)
	}
	return n
}

// ringSlots returns how many input planes a ring needs for so many output planes at a
// time: as many as any run of them, for ranges of planes begin anywhere.
func ringSlots(taps [][]tap, planes int) int {
	slots := 1
	for d := range taps {
		_, n := span(taps, d, min(len(taps), d+planes))
		slots = max(slots, n)
	}
	return slots
}

// pattern is what positions of an axis have in common: taps relative to the first.
type pattern []tap

// patterns groups positions by their relative taps.
func patterns(taps [][]tap) (list []pattern, of []int) {
	of = make([]int, len(taps))
	for o, t := range taps {
		var p pattern
		for _, x := range t {
			p = append(p, tap{x.in - t[0].in, x.k})
		}
		of[o] = -1
		for i, q := range list {
			if samePattern(p, q) {
				of[o] = i
			}
		}
		if of[o] < 0 {
			of[o] = len(list)
			list = append(list, p)
		}
	}
	return list, of
}

func samePattern(p, q pattern) bool {
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// tile is a part of an output row that one kernel call computes.
type tile struct{ x, px int }

// tiles cuts count pixels into parts of nearly one size, at most limit.
func tiles(count, limit int) []tile {
	var list []tile
	parts := ceilDiv(count, limit)
	for i := range parts {
		from, to := i*count/parts, (i+1)*count/parts
		list = append(list, tile{from, to - from})
	}
	return list
}
