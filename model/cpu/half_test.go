package cpu

import (
	"context"
	"math"
	"slices"
	"testing"
	"unsafe"

	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
	"noisystudent/model/random"
)

// TestHalf holds every path of bfloat16 factors to package ref, alone and beside
// transforms.
func TestHalf(t *testing.T) {
	notShort(t)
	for _, table := range halfTables() {
		t.Run(table.name, func(t *testing.T) {
			devicetest.RunHalf(t, opener(table, 2, standard))
			devicetest.RunHalfExact(t, opener(table, 2, standard))
		})
	}
	t.Run("parts", func(t *testing.T) { devicetest.RunHalfExact(t, opener(halfTables()[0], 3, splinters)) })
	t.Run("beside transforms", func(t *testing.T) { devicetest.RunHalf(t, opener(tables()[0], 2, standard)) })
}

// TestHalfIsClose: logits of the paper's network lie within 1e-2 of exact ones, by
// relative L2, beside transforms as programs use it.
func TestHalfIsClose(t *testing.T) {
	notShort(t)
	n := paper
	n.patch = [3]int{24, 96, 96}
	want := n.logits(t, tables()[0], program.Exact)
	got := n.logits(t, tables()[0], program.Half)
	var off, size float64
	for i, w := range want {
		d := float64(got[i] - w)
		off, size = off+d*d, size+float64(w)*float64(w)
	}
	if l2 := math.Sqrt(off / size); l2 > 1e-2 {
		t.Errorf("relative L2 is %.2e", l2)
	} else {
		t.Logf("relative L2 is %.2e", l2)
	}
}

// logits runs the network once.
func (n network) logits(t *testing.T, table *table, precision program.Precision) []float32 {
	l := n.load(t, open(table, 2), false, precision)
	defer l.Close()
	must(t, l.Run(context.Background()))
	for id, b := range l.p.Buffers {
		if b.Role == program.Output {
			v := make([]float32, b.Len())
			must(t, l.Read(program.ID(id), v))
			return v
		}
	}
	t.Fatal("no output")
	return nil
}

// TestHalfWithoutKernels: a table without kernels of bfloat16 factors computes in float32.
func TestHalfWithoutKernels(t *testing.T) {
	plain := opener(genericTable(), 2, standard)
	devicetest.Same(t, plain, devicetest.Half(plain))
}

// halfTables lists the tables with kernels of bfloat16 factors, be they faster here or
// not, without transforms, which would take the place of some; the last is plain Go,
// which outside of tests has no such kernels.
func halfTables() (list []*table) {
	for _, t := range tables() {
		if t.name == "avx512" && bf16Table() != nil {
			t.half, t.winograd = bf16Table(), nil
			list = append(list, t)
		}
	}
	plain := genericTable()
	plain.half, plain.winograd = genericHalf(), nil
	return append(list, plain)
}

// way is a table and what a program asks of it. Of bfloat16 one is enough where
// tables share what is tested.
type way struct {
	name      string
	table     *table
	precision program.Precision
}

func ways() (list []way) {
	for _, t := range tables() {
		list = append(list, way{t.name, t, program.Float32})
	}
	half := halfTables()[0]
	return append(list, way{half.name + " bf16", half, program.Half})
}

func rounded(x float32) float32 { return math.Float32frombits(uint32(bf16(x)) << 16) }

func TestBF16(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 0},
		{1, 1},
		{-3.140625, -3.140625},
		{inf, inf},
		{math.MaxFloat32, inf},
		{1 + 1.0/256, 1},                       // a tie goes to the even neighbour
		{1 + 3.0/256, 1 + 4.0/256},             // here it is above
		{1 + 1.0/256 + 1.0/65536, 1 + 2.0/256}, // no tie
		{1e-40, 0},                             // not a normal number
	} {
		if got := rounded(c.x); got != c.want {
			t.Errorf("%g rounds to %g, want %g", c.x, got, c.want)
		}
	}
	if nan := float32(math.NaN()); !math.IsNaN(float64(rounded(nan))) {
		t.Error("NaN becomes a number")
	}
}

// TestHalfPacking demands the bytes of plain Go from packing kernels, for rows of
// all lengths around their width and for values that are hard to round.
func TestHalfPacking(t *testing.T) {
	plain := genericHalf()
	for _, table := range halfTables()[:len(halfTables())-1] {
		kernels := []struct {
			name      string
			got, want func(*packArgs)
			pads      []int
		}{
			{"pack", table.half.pack, plain.pack, []int{0, 1}},
			{"pairs", table.half.pairs, plain.pairs, []int{0, 8 * pairBytes}},
		}
		for _, k := range kernels {
			for _, pad := range k.pads {
				for px := range 12 {
					if got, want := packed1(k.got, px, pad), packed1(k.want, px, pad); !slices.Equal(got, want) {
						t.Errorf("%s %s: %d pixels, pad %d: the bytes differ from plain Go", table.name, k.name, px, pad)
					}
				}
			}
		}
		for n := 1; n <= 3; n++ {
			if got, want := halved(table.half.halve, n), halved(plain.halve, n); !slices.Equal(got, want) {
				t.Errorf("%s halve: %d vectors: the bytes differ from plain Go", table.name, n)
			}
		}
	}
}

// awkward returns n values, some of which are ties, large, tiny or infinite.
func awkward(n int) []float32 {
	s, v := random.New(9), aligned(n)
	for i := range v {
		v[i] = float32(s.Normal())
		if i%5 == 0 {
			v[i] = []float32{1 + 1.0/256, -1 - 3.0/256, math.MaxFloat32, float32(math.Inf(-1)), 1e-39}[i/5%5]
		}
	}
	return v
}

// packed1 packs two rows with a kernel and returns all that it may write.
func packed1(pack func(*packArgs), px, pad int) []uint32 {
	const row = 24 * pairBytes
	dst, src := aligned(3*row/4), awkward(4*12*lanes)
	scale, shift := aligned(lanes), aligned(lanes)
	for i := range lanes {
		scale[i], shift[i] = float32(i%3)/2, float32(i%2)
	}
	pack(&packArgs{
		dst: ptr(dst, lanes), src: ptr(src, 0), scale: ptr(scale, 0), shift: ptr(shift, 0),
		px: px, rows: 2, srcStep: pixelBytes, dstRow: row, srcRow: 12 * pixelBytes, pad: pad, slope: 0.01,
	})
	return bitsOf(dst)
}

// halved rounds three rows of n vectors.
func halved(halve func(*halveArgs), n int) []uint32 {
	dst, src := aligned(4*n*lanes), awkward(6*n*lanes)
	halve(&halveArgs{dst: ptr(dst, 0), even: ptr(src, 0), odd: ptr(src, n*lanes), n: n, rows: 3, step: 2 * n * pixelBytes})
	return bitsOf(dst)
}

func bitsOf(v []float32) []uint32 { return unsafe.Slice((*uint32)(unsafe.Pointer(&v[0])), len(v)) }

// TestConstant: an inference keeps packed weights, a training step, which changes them,
// has no second copy.
func TestConstant(t *testing.T) {
	n := demo.withFeatures(16, 32)
	n.patch = [3]int{4, 8, 16}
	for _, train := range []bool{true, false} {
		d := open(halfTables()[0], 1)
		l := n.load(t, d, train, program.Half)
		for id, b := range l.p.Buffers {
			if b.Class == program.Kernel && b.Role == program.Param && l.constant(program.ID(id)) == train {
				t.Errorf("training %v: %s is taken for constant: %v", train, b.Name, train)
			}
		}
		must(t, l.Close())
		must(t, d.Close())
	}
}

func TestHalfGains(t *testing.T) {
	for _, table := range tables() {
		if got, want := open(table, 1).Half(), table.half != nil; got != want {
			t.Errorf("%s: %v, want %v", table.name, got, want)
		}
	}
	if open(genericTable(), 1).Half() {
		t.Error("plain Go claims to gain by bfloat16")
	}
}
