package compile

import (
	"testing"

	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// variants are the ways to compile the tiny network that change its instructions.
var variants = []struct {
	name string
	edit func(*unet.Spec, *LossConfig)
}{
	{"plain", func(*unet.Spec, *LossConfig) {}},
	{"one output", func(s *unet.Spec, l *LossConfig) { s.DeepSupervision, l.OutputWeights = false, nil }},
	{"class weights, ignore", func(_ *unet.Spec, l *LossConfig) { l.ClassWeights, l.Ignore = []float32{1, 2, 3, 4}, 3 }},
	{"dice per case", func(_ *unet.Spec, l *LossConfig) { l.BatchDice = false }},
	{"low output only", func(_ *unet.Spec, l *LossConfig) { l.OutputWeights = []float32{0, 1} }},
	{"one conv", func(s *unet.Spec, _ *LossConfig) { s.ConvsEncoder, s.ConvsDecoder = []int{1, 1, 1}, []int{1, 1} }},
}

// results runs one step of a unit on the reference device, with values drawn by
// name, and returns all that can be read afterwards.
func results(t *testing.T, u *unit) map[string][]float64 {
	t.Helper()
	m := load(t, u.Program)
	for id, b := range u.Buffers {
		s := random.New(5, random.Key(b.Name))
		switch {
		case b.Class == program.Labels && b.Role == program.Input:
			data := make([]uint8, b.Len())
			for i := range data {
				data[i] = uint8(s.IntN(4))
			}
			m.labels(program.ID(id), data)
		case b.Role == program.Input || b.Role == program.Param:
			data := make([]float32, b.Len())
			for i := range data {
				data[i] = float32(0.3 * s.Normal())
			}
			m.write(program.ID(id), data...)
		}
	}
	m.write(u.net.Seed, 2)
	m.write(u.net.Hyper, 0.01, 0.99, 3e-5)
	if u.net.ClassWeights != program.None {
		m.write(u.net.ClassWeights, 1, 2, 3, 4)
	}
	m.run()
	out := map[string][]float64{}
	for id, b := range u.Buffers {
		if b.Role != program.Temp && b.Class != program.Labels {
			out[b.Name] = m.read(program.ID(id))
		}
	}
	return out
}

func TestEveryPassKeepsTheValues(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			spec, lc := tiny, tinyLoss
			v.edit(&spec, &lc)
			var want map[string][]float64
			for n := range len(passes) + 1 {
				u, err := train(spec, 2, [3]int{4, 8, 8}, lc, program.SGD, 0.1)
				if err != nil {
					t.Fatal(err)
				}
				if err := u.run(passes[:n]); err != nil {
					t.Fatal(err)
				}
				got := results(t, u)
				if n == 0 {
					want = got
					continue
				}
				compare(t, passes[n-1].name, want, got)
			}
		})
	}
}

// compare demands values that differ by rounding only: a stored activation is
// rounded to float32, one seen through a view is not.
func compare(t *testing.T, pass string, want, got map[string][]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("after %q: %d readable buffers, want %d", pass, len(got), len(want))
	}
	for name := range want {
		near(t, "after "+pass+": "+name, got[name], want[name], 2e-5)
	}
}
