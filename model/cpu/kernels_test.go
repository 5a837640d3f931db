package cpu

import (
	"fmt"
	"slices"
	"testing"

	"noisystudent/model/random"
)

// TestConvKernels holds every tile to plain Go, with whole numbers, whose sums are
// exact: what a kernel writes, the empty half of a block included, and that it
// writes nothing else.
func TestConvKernels(t *testing.T) {
	for _, table := range tables() {
		for k := range kinds {
			for v := range widths {
				for px := 1; px < len(table.conv[k][v]); px++ {
					for add := range 2 {
						name := fmt.Sprintf("%s kind %d width %d px %d add %d", table.name, k, v, px, add)
						checkConv(t, name, table.conv[k][v][px], genericConv(k, px), v, add)
					}
				}
			}
		}
	}
}

func checkConv(t *testing.T, name string, kernel, generic func(*convArgs), v width, add int) {
	t.Helper()
	s := random.New(7)
	const floats = 1 << 12
	in, w, bias, start := whole(s, floats, lanes), whole(s, floats, lanes), whole(s, 2*lanes, lanes), whole(s, floats, lanes)
	if v == half {
		clearSecondHalves(w, bias, start)
	}
	list := []entry{{0, 0, 3}, {8, pixelBytes, 1}, {4, 3 * pixelBytes, lanes - 1}}
	got, want := slices.Clone(start), slices.Clone(start)
	a := convArgs{
		in: ptr(in, 0), w: ptr(w, 0), bias: ptr(bias, 0), list: &list[0], n: len(list),
		wNext: 2 * floats, wStep: 3 * pixelBytes, outNext: 2 * floats, outStep: pixelBytes, add: add,
	}
	a.out = ptr(got, 0)
	kernel(&a)
	for b := range v.blocks() {
		a.w, a.bias, a.out = ptr(w, b*floats/2), ptr(bias, b*lanes), ptr(want, b*floats/2)
		generic(&a)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: differs from plain Go", name)
	}
}

// TestGradKernels does it for gradients by weight, which leave an empty half alone.
func TestGradKernels(t *testing.T) {
	for _, table := range tables() {
		for i, taps := range []int{3, 1} {
			for v, k := range table.wgrad[i] {
				for px := range 5 {
					if k.run != nil {
						name := fmt.Sprintf("%s %d taps width %d px %d", table.name, taps, v, px+1)
						checkGrad(t, name, k, taps, width(v), px+1)
					}
				}
			}
		}
	}
}

func checkGrad(t *testing.T, name string, k gradKernel, taps int, v width, px int) {
	t.Helper()
	s := random.New(9)
	const floats = 1 << 12
	x, dy, start := whole(s, floats, lanes), whole(s, floats, lanes), whole(s, floats, lanes)
	list := []rowPair{{0, 0}, {8 * pixelBytes, 8 * pixelBytes}}
	if taps == 3 { // rows begin and end with a zero pixel
		for _, r := range list {
			clear(x[r.in/4:][:lanes])
			clear(x[r.in/4+(px+1)*lanes:][:lanes])
		}
	}
	got, want := slices.Clone(start), slices.Clone(start)
	a := gradArgs{
		in: ptr(x, 0), dy: ptr(dy, 0), dw: ptr(got, 0), list: &list[0], n: len(list), px: px,
		inStep: pixelBytes, dyNext: 2 * floats, dwNext: 2 * floats, dwStep: taps * pixelBytes,
	}
	k.run(&a)
	for b := range v.blocks() {
		for c := 0; c < k.channels; c += genericChannels {
			a.in, a.dy, a.dw = ptr(x, c), ptr(dy, b*floats/2), ptr(want, b*floats/2+c*taps*lanes)
			genericGrad(&a, taps)
		}
	}
	untouched := func(i int) bool { return v == half && i%lanes >= lanes/2 || i%(floats/2) >= k.channels*taps*lanes }
	for i := range got {
		if untouched(i) {
			want[i] = start[i]
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: differs from plain Go", name)
	}
}

// whole draws n whole numbers below limit.
func whole(s *random.Stream, n, limit int) []float32 {
	v := aligned(n)
	for i := range v {
		v[i] = float32(s.IntN(limit))
	}
	return v
}

func clearSecondHalves(list ...[]float32) {
	for _, v := range list {
		for i := range v {
			if i%lanes >= lanes/2 {
				v[i] = 0
			}
		}
	}
}
