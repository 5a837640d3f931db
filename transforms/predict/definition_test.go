package predict

import (
	"math"
	"slices"
	"testing"

	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// whole computes the scores (C, D, H, W) of an image as the definition says: all
// tiles of all models in full volumes, in float64.
func whole(t *testing.T, st *store.Store, c Config, image []float32, shape [3]int) [][]float64 {
	t.Helper()
	s, err := c.settings()
	if err != nil {
		t.Fatal(err)
	}
	size, before := patch.Pad(shape, s.Patch)
	scores := make([][]float64, s.Classes)
	for k := range scores {
		scores[k] = make([]float64, len(image))
	}
	for m := range c.Models {
		one := c
		one.Models = c.Models[m : m+1]
		sum, weight := oneModel(t, st, one, s, image, shape, size, before)
		for i := range image {
			z, y, x := i/(shape[1]*shape[2])+before[0], i/shape[2]%shape[1]+before[1], i%shape[2]+before[2]
			at := (z*size[1]+y)*size[2] + x
			v := make([]float64, s.Classes)
			for k := range v {
				v[k] = sum[k][at] / weight[at]
			}
			if len(c.Models) > 1 && !s.Softmax {
				v = plainSoftmax(v)
			}
			for k := range v {
				scores[k][i] += v[k] / float64(len(c.Models))
			}
		}
	}
	return scores
}

func oneModel(t *testing.T, st *store.Store, c Config, s Settings, image []float32, shape, size, before [3]int) (sum [][]float64, weight []float64) {
	t.Helper()
	weight, sum = make([]float64, voxels(size)), make([][]float64, s.Classes)
	for k := range sum {
		sum[k] = make([]float64, voxels(size))
	}
	gauss, d := patch.Gaussian(s.Patch), s.Patch
	for _, at := range patch.Windows(size, d, s.Step) {
		tile := make([]float32, voxels(d))
		for i := range tile {
			z, y, x := at[0]+i/(d[1]*d[2])-before[0], at[1]+i/d[2]%d[1]-before[1], at[2]+i%d[2]-before[2]
			if z >= 0 && y >= 0 && x >= 0 && z < shape[0] && y < shape[1] && x < shape[2] {
				tile[i] = image[(z*shape[1]+y)*shape[2]+x]
			}
		}
		logits := mirrored(t, st, c, s, tile)
		for i, g := range gauss {
			v := make([]float64, s.Classes)
			for k := range v {
				v[k] = logits[k*len(tile)+i]
			}
			if s.Softmax {
				v = plainSoftmax(v)
			}
			to := ((at[0]+i/(d[1]*d[2]))*size[1]+at[1]+i/d[2]%d[1])*size[2] + at[2] + i%d[2]
			weight[to] += float64(g)
			for k := range v {
				sum[k][to] += float64(g) * v[k]
			}
		}
	}
	return sum, weight
}

// mirrored is the mean of the logits over all flips.
func mirrored(t *testing.T, st *store.Store, c Config, s Settings, tile []float32) []float64 {
	t.Helper()
	mean, count := make([]float64, s.Classes*len(tile)), 0.0
	d := s.Patch
	for k := range 8 {
		axes := [3]bool{k&1 != 0, k&2 != 0, k&4 != 0}
		if axes[0] && !s.Mirror[0] || axes[1] && !s.Mirror[1] || axes[2] && !s.Mirror[2] {
			continue
		}
		flip := func(i int) int {
			at := [3]int{i / (d[1] * d[2]), i / d[2] % d[1], i % d[2]}
			for a := range 3 {
				if axes[a] {
					at[a] = d[a] - 1 - at[a]
				}
			}
			return (at[0]*d[1]+at[1])*d[2] + at[2]
		}
		flipped, logits := make([]float32, len(tile)), []float32(nil)
		for i, v := range tile {
			flipped[flip(i)] = v
		}
		_, err := c.withNetwork(t.Context(), st, func(n Network, models []Model, _ Settings) error {
			if err := n.Use(models[0]); err != nil {
				return err
			}
			logits = logitsOf(t, n, flipped, s.Classes, d)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range mean {
			mean[i] += float64(logits[i/len(tile)*len(tile)+flip(i%len(tile))])
		}
		count++
	}
	for i := range mean {
		mean[i] /= count
	}
	return mean
}

func plainSoftmax(v []float64) []float64 {
	out, sum := make([]float64, len(v)), 0.0
	for k := range v {
		out[k] = math.Exp(v[k])
		sum += out[k]
	}
	for k := range out {
		out[k] /= sum
	}
	return out
}

// best returns the class with the largest score at i and its lead over the second.
func best(scores [][]float64, i int) (class uint8, lead float64) {
	first, second := math.Inf(-1), math.Inf(-1)
	for k := range scores {
		if v := scores[k][i]; v > first {
			class, first, second = uint8(k), v, first
		} else {
			second = max(second, v)
		}
	}
	return class, first - second
}

// TestScanEqualsTheDefinition takes a scan of other spacing from its file to labels
// on its grid, for each way to predict, and compares with whole volumes.
func TestScanEqualsTheDefinition(t *testing.T) {
	folder := t.TempDir()
	scan := fittest.File(t, folder, "x", 3, 0.87)
	for name, change := range map[string]func(i *plan.Inference) (models int){
		"one model":             func(i *plan.Inference) int { return 1 },
		"ensemble":              func(i *plan.Inference) int { return 3 },
		"mirrored":              func(i *plan.Inference) int { i.Mirror = "x,z"; return 1 },
		"ensemble, mirrored":    func(i *plan.Inference) int { i.Mirror = "y"; return 2 },
		"softmax, then blend":   func(i *plan.Inference) int { i.Blend = "softmax"; return 2 },
		"whole steps":           func(i *plan.Inference) int { i.StepSize = 1; return 1 },
		"export":                func(i *plan.Inference) int { i.Export = "probabilities"; return 1 },
		"export of an ensemble": func(i *plan.Inference) int { i.Export = "probabilities"; return 2 },
	} {
		p := fittest.Plan()
		models := change(&p.Inference)
		st, c := ready(t, models)
		c.Plan = p
		row, err := Scan(t.Context(), st, c, scan)
		if err != nil || row.Outcome != manifest.Done || row.Output != c.Key("x") {
			t.Fatalf("%s: row %+v, %v", name, row, err)
		}
		got := readRAS(t, st.Address(row.Output))
		prepared, err := resample.Load(t.Context(), scan, p, 0)
		if err != nil {
			t.Fatal(err)
		}
		scores := whole(t, st, c, prepared.Image, prepared.Shape)
		if p.Inference.Export == "probabilities" {
			linearEquals(t, name, got, prepared, scores)
		} else {
			nearestEquals(t, name, got, prepared, scores)
		}
	}
}

// nearestEquals follows each voxel of the scan to its voxel of the network's grid.
func nearestEquals(t *testing.T, name string, got *volume.Labels, p *resample.Prepared, scores [][]float64) {
	t.Helper()
	var seen [4]int
	for i, label := range got.Data {
		at := [3]int{i / (got.Shape[1] * got.Shape[2]), i / got.Shape[2] % got.Shape[1], i % got.Shape[2]}
		from, inside := 0, true
		for a := range 3 {
			inside = inside && at[a] >= p.Crop.Lo[a] && at[a] < p.Crop.Hi[a]
			length := p.Crop.Hi[a] - p.Crop.Lo[a]
			from = from*p.Shape[a] + (2*(at[a]-p.Crop.Lo[a])+1)*p.Shape[a]/(2*length)
		}
		if !inside {
			if label != 0 {
				t.Fatalf("%s: label %d outside the crop", name, label)
			}
			continue
		}
		seen[label]++
		if want, lead := best(scores, from); label != want && lead > 1e-5 {
			t.Fatalf("%s: voxel %v is %d, want %d with a lead of %g", name, at, label, want, lead)
		}
	}
	if slices.Sort(seen[:]); seen[2] < 300 {
		t.Errorf("%s: only %v voxels of each class: the test shows little", name, seen)
	}
}

// linearEquals resamples all scores.
func linearEquals(t *testing.T, name string, got *volume.Labels, p *resample.Prepared, scores [][]float64) {
	t.Helper()
	to := p.Crop.Shape()
	m := resample.Mapping{From: p.Shape, To: to, Coarse: resample.CoarseAxis(p.Spacing, p.Source.Spacing)}
	fine := make([][]float64, len(scores))
	for k := range scores {
		channel := make([]float32, len(scores[k]))
		for i, v := range scores[k] {
			channel[i] = float32(v)
		}
		out, err := resample.Linear(t.Context(), channel, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out {
			fine[k] = append(fine[k], float64(v))
		}
	}
	inside := volume.Crop(got.Data, got.Shape, p.Crop)
	for i, label := range inside {
		if want, lead := best(fine, i); label != want && lead > 1e-5 {
			t.Fatalf("%s: voxel %d of the crop is %d, want %d with a lead of %g", name, i, label, want, lead)
		}
	}
}
