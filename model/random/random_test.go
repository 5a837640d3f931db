package random

import (
	"math"
	"slices"
	"testing"
)

// The numbers are part of every stored run: a change of them breaks resume.
func TestValuesStay(t *testing.T) {
	s := New(12345, 1, 2, 3)
	got := []uint64{s.Uint64(), s.Uint64(), Key("case0042"), uint64(s.IntN(1000)), math.Float64bits(s.Normal())}
	want := []uint64{0x5c648e1fa8669f20, 0x73fd84690baebf23, 0xde9813153404f471, 0x3c2, 0x3fe83229d9b18f36}
	if !slices.Equal(got, want) {
		t.Errorf("got %#v", got)
	}
}

// SplitMix64's published first outputs for a state of 1234567.
func TestOutputIsSplitMix64(t *testing.T) {
	s := &Stream{key: 1234567}
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := s.Uint64(); got != want {
			t.Errorf("value %d is %d, want %d", i, got, want)
		}
	}
}

func TestChildDoesNotDependOnDraws(t *testing.T) {
	s := New(1)
	before := s.Child(5).Uint64()
	for range 10 {
		s.Uint64()
	}
	if s.Child(5).Uint64() != before {
		t.Error("a child changed with its parent's position")
	}
	if New(1).Child(5).Uint64() != New(1, 5).Uint64() || New(1, 2, 3).Uint64() != New(1, 2).Child(3).Uint64() {
		t.Error("paths do not compose")
	}
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(20) {
		for a := range uint64(20) {
			for _, v := range []uint64{New(seed, a).Uint64(), New(seed, a, 0).Uint64(), New(seed, 0, a+1).Uint64()} {
				if seen[v] {
					t.Fatalf("seed %d path %d gives a value twice", seed, a)
				}
				seen[v] = true
			}
		}
	}
}

func TestAtDoesNotMove(t *testing.T) {
	s := New(3)
	third := s.At(2)
	s.Uint64()
	s.Uint64()
	if s.Uint64() != third {
		t.Error("At(2) is not the third value")
	}
	n, s := New(4).NormalAt(1), New(4)
	s.Normal()
	if s.Normal() != n {
		t.Error("NormalAt(1) is not the second normal value")
	}
}

// A normal value never takes bits that were drawn before it.
func TestNormalAfterOtherDraws(t *testing.T) {
	s := New(8)
	s.Uint64()
	a, b := s.Normal(), s.Normal()
	if a != New(8).NormalAt(1) || b != New(8).NormalAt(2) {
		t.Errorf("normal values %g and %g", a, b)
	}
}

func TestMoments(t *testing.T) {
	const n = 200_000
	s := New(7)
	var mean, square, cube, unit, half float64
	for range n {
		v := s.Normal()
		mean, square, cube = mean+v/n, square+v*v/n, cube+v*v*v/n
		unit += s.Float64() / n
		if s.Bool(0.25) {
			half += 1.0 / n
		}
	}
	for name, d := range map[string]float64{"mean": mean, "variance": square - 1, "skew": cube, "uniform": unit - 0.5, "bool": half - 0.25} {
		if math.Abs(d) > 0.02 {
			t.Errorf("%s is off by %g", name, d)
		}
	}
}

func TestIntNIsFair(t *testing.T) {
	s, count := New(9), make([]int, 7)
	for range 70_000 {
		count[s.IntN(7)]++
	}
	for v, c := range count {
		if c < 9_500 || c > 10_500 {
			t.Errorf("%d came %d times of 70000", v, c)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("IntN(0) does not panic")
		}
	}()
	s.IntN(0)
}

func TestPermHoldsEachOnce(t *testing.T) {
	first := [5]int{}
	for seed := range uint64(5000) {
		p := New(seed).Perm(5)
		first[p[0]]++
		slices.Sort(p)
		if !slices.Equal(p, []int{0, 1, 2, 3, 4}) {
			t.Fatalf("seed %d gives %v", seed, p)
		}
	}
	for v, c := range first {
		if c < 850 || c > 1150 {
			t.Errorf("%d came first %d times of 5000", v, c)
		}
	}
}

func TestUniform(t *testing.T) {
	s := New(10)
	for range 1000 {
		if v := s.Uniform(-3, 5); v < -3 || v >= 5 {
			t.Fatalf("%g is outside [-3, 5)", v)
		}
	}
}
