package patch

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// made is a case whose voxels are a function of its id and their place.
type made struct {
	id        int
	shape     [3]int
	positions map[int][][3]int32
}

func (m made) Shape() [3]int { return m.shape }

func (m made) Classes() []uint8 {
	var c []uint8
	for class := range m.positions {
		if class > 0 {
			c = append(c, uint8(class))
		}
	}
	slices.Sort(c)
	return c
}

func (m made) Positions(_ context.Context, class int) ([][3]int32, error) {
	return m.positions[class], nil
}

func fillBox[T any](dst []T, lo, hi [3]int, f func(z, y, x int) T) {
	i := 0
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			for x := lo[2]; x < hi[2]; x++ {
				dst[i] = f(z, y, x)
				i++
			}
		}
	}
}

func (m made) ReadImage(_ context.Context, lo, hi [3]int, dst []float32) error {
	fillBox(dst, lo, hi, func(z, y, x int) float32 { return float32(m.id*100000 + z*10000 + y*100 + x) })
	return nil
}

func (m made) ReadLabels(_ context.Context, lo, hi [3]int, dst []uint8) error {
	fillBox(dst, lo, hi, func(z, y, x int) uint8 { return uint8((z + y + x) % 5) })
	return nil
}

func teacher() Sampler {
	return Sampler{Seed: 1, Role: "teacher", Patch: [3]int{8, 16, 12}, BatchSize: 4, StepsPerEpoch: 10, Labelled: 5, ForegroundPart: 0.33}
}

func student(batch int) Sampler {
	s := teacher()
	s.Role, s.BatchSize, s.Pseudo, s.LabelledPart = "student", batch, 7, 0.25
	return s
}

// The mix is exact over consecutive slots for any batch size.
func TestQuota(t *testing.T) {
	for _, batch := range []int{1, 2, 3, 4, 5, 8} {
		s := student(batch)
		labelled, total := 0, 0
		for n := range int64(120) {
			inBatch := 0
			for _, slot := range s.Slots(n/10, int(n%10)) {
				total++
				if !slot.Pseudo {
					labelled++
					inBatch++
				}
				if total%4 == 0 && labelled*4 != total {
					t.Fatalf("batch %d: %d labelled of %d slots", batch, labelled, total)
				}
			}
			if batch == 4 && inBatch != 1 {
				t.Fatalf("a batch of 4 holds %d labelled cases", inBatch)
			}
		}
	}
	s := student(3)
	s.LabelledPart = 1. / 3
	for n := range int64(300) {
		inBatch := 0
		for _, slot := range s.Slots(n/10, int(n%10)) {
			if !slot.Pseudo {
				inBatch++
			}
		}
		if inBatch != 1 {
			t.Fatalf("step %d: %d labelled of 3 at one third", n, inBatch)
		}
	}
}

// Cases are uniform within their pool, roles and folds differ, and a slot depends on
// nothing but its key.
func TestSlotsAreKeyed(t *testing.T) {
	s := student(4)
	count := map[key]int{}
	for n := range int64(4000) {
		for _, slot := range s.Slots(n/10, int(n%10)) {
			count[key{slot.Pseudo, slot.Index}]++
		}
	}
	for k, c := range count {
		want := 4000. / 5
		if k.pseudo {
			want = 12000. / 7
		}
		if math.Abs(float64(c)/want-1) > 0.15 {
			t.Errorf("case %v is drawn %d times, want about %.0f", k, c, want)
		}
	}
	if len(count) != 12 {
		t.Errorf("%d cases are drawn, want 12", len(count))
	}
	opt := cmp.AllowUnexported(Slot{})
	base := s.Slots(3, 7)
	if cmp.Diff(base[0].Index, s.Slots(3, 7)[0].Index) != "" {
		t.Error("a slot drawn twice differs")
	}
	for name, change := range map[string]func(*Sampler){
		"seed": func(s *Sampler) { s.Seed++ }, "fold": func(s *Sampler) { s.Fold++ }, "role": func(s *Sampler) { s.Role = "control" },
	} {
		c := s
		change(&c)
		if cmp.Equal(base[0].stream.At(0), c.Slots(3, 7)[0].stream.At(0), opt) {
			t.Errorf("another %s draws the same patches", name)
		}
	}
}

func TestForcedSlotsParity(t *testing.T) {
	var f struct {
		Slots [][]int `json:"forced_slots"`
	}
	readJSON(t, "boxes.json", &f)
	for i, want := range f.Slots {
		s := teacher()
		s.BatchSize = i + 1
		got := []int{}
		for k, slot := range s.Slots(0, 0) {
			if slot.Forced {
				got = append(got, k)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("batch of %d: %s", i+1, d)
		}
	}
}

// A half is rounded to even, as Python does it: of one slot the half is the whole, of
// five it is three.
func TestHalfOfTheSlots(t *testing.T) {
	for batch, want := range map[int]int{1: 1, 2: 1, 3: 1, 5: 3} {
		s := teacher()
		s.BatchSize, s.ForegroundPart = batch, 0.5
		forced := 0
		for _, slot := range s.Slots(0, 0) {
			if slot.Forced {
				forced++
			}
		}
		if forced != want {
			t.Errorf("batch of %d: %d forced slots, want %d", batch, forced, want)
		}
	}
}

// A mixed batch has as many forced slots, each slot equally often.
func TestForcedSlotsOfMixedBatches(t *testing.T) {
	s := student(4)
	var count [4]int
	for n := range int64(8000) {
		forced := 0
		for k, slot := range s.Slots(n/10, int(n%10)) {
			if slot.Forced {
				forced++
				count[k]++
			}
		}
		if forced != 1 {
			t.Fatalf("%d forced slots", forced)
		}
	}
	for k, c := range count {
		if c < 1850 || c > 2150 {
			t.Errorf("slot %d is forced %d times of 8000, want about 2000", k, c)
		}
	}
}

// Boxes as nnU-Net's data loader draws them.
func TestCornerParity(t *testing.T) {
	var f struct {
		Patch  [3]int
		Random []struct{ Shape, Least, Greatest [3]int }
		Forced []struct{ Shape, Voxel, Corner [3]int }
	}
	readJSON(t, "boxes.json", &f)
	s := teacher()
	s.Patch = f.Patch
	for _, r := range f.Random {
		least, greatest := r.Greatest, r.Least
		for n := range int64(2000) {
			c, err := s.Corner(t.Context(), s.Slots(n, 0)[0], made{shape: r.Shape})
			if err != nil {
				t.Fatal(err)
			}
			for a := range 3 {
				least[a], greatest[a] = min(least[a], c[a]), max(greatest[a], c[a])
			}
		}
		if least != r.Least || greatest != r.Greatest {
			t.Errorf("case of %v: corners %v to %v, want %v to %v", r.Shape, least, greatest, r.Least, r.Greatest)
		}
	}
	for _, r := range f.Forced {
		v := [3]int32{int32(r.Voxel[0]), int32(r.Voxel[1]), int32(r.Voxel[2])}
		c := made{shape: r.Shape, positions: map[int][][3]int32{2: {v}}}
		got, err := s.Corner(t.Context(), s.Slots(0, 0)[3], c)
		if err != nil || got != r.Corner {
			t.Errorf("case of %v, voxel %v: corner %v (%v), want %v", r.Shape, r.Voxel, got, err, r.Corner)
		}
	}
}

// Forced: class uniform among those present, then voxel uniform, however many voxels
// a class has. Unforced with an ignore label: an annotated voxel.
func TestCentres(t *testing.T) {
	c := made{shape: [3]int{100, 100, 100}, positions: map[int][][3]int32{
		3: {{20, 20, 20}}, 9: {{40, 40, 40}, {60, 60, 60}, {80, 80, 80}}, Annotated: {{50, 50, 50}},
	}}
	s := teacher()
	s.BatchSize, s.Ignore = 2, true
	count := map[[3]int]float64{}
	for n := range int64(6000) {
		slots := s.Slots(n, 0)
		free, _ := s.Corner(t.Context(), slots[0], c)
		if want := [3]int{50 - 4, 50 - 8, 50 - 6}; free != want {
			t.Fatalf("unforced patch at %v, want %v", free, want)
		}
		forced, _ := s.Corner(t.Context(), slots[1], c)
		count[forced]++
	}
	want := map[[3]int]float64{{16, 12, 14}: 3000, {36, 32, 34}: 1000, {56, 52, 54}: 1000, {76, 72, 74}: 1000}
	for at, n := range want {
		if math.Abs(count[at]-n) > 150 {
			t.Errorf("corner %v drawn %.0f times, want about %.0f", at, count[at], n)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := student(1).Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Sampler){
		"no patch":    func(s *Sampler) { s.Patch[1] = 0 },
		"no batch":    func(s *Sampler) { s.BatchSize = 0 },
		"no steps":    func(s *Sampler) { s.StepsPerEpoch = 0 },
		"no cases":    func(s *Sampler) { s.Labelled = 0 },
		"large part":  func(s *Sampler) { s.LabelledPart = 1.5 },
		"NaN part":    func(s *Sampler) { s.LabelledPart = math.NaN() },
		"forced part": func(s *Sampler) { s.ForegroundPart = -1 },
	} {
		s := student(4)
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
