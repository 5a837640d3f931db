package predict

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/volume"
)

// byDefinition computes a Doubt of three classes from the logits of models at each voxel.
func byDefinition(logits [][]float64, labels []uint8) *Doubt {
	const classes = 3
	d := &Doubt{Certain: make([]uint8, len(labels)), Second: make([]uint8, len(labels)), Agreement: make([]float64, classes), Entropy: make([]float64, classes)}
	n := make([]float64, classes)
	models := len(logits)
	votes := make([][]uint8, models)
	for m := range votes {
		votes[m] = make([]uint8, len(labels))
	}
	for i, label := range labels {
		mean := make([]float64, classes)
		for m := range models {
			p, sum := make([]float64, classes), 0.0
			for c := range p {
				p[c] = math.Exp(logits[m][c*len(labels)+i])
				sum += p[c]
				if logits[m][c*len(labels)+i] > logits[m][int(votes[m][i])*len(labels)+i] {
					votes[m][i] = uint8(c)
				}
			}
			for c := range p {
				mean[c] += p[c] / sum / float64(models)
			}
		}
		for _, p := range mean {
			d.Entropy[label] -= p * math.Log(p) / math.Log(classes)
		}
		d.Certain[i] = uint8(math.Round(255 * mean[label]))
		if d.Second[i] = (label + 1) % classes; mean[(label+2)%classes] > mean[d.Second[i]] {
			d.Second[i] = (label + 2) % classes
		}
		n[label]++
	}
	for c := range classes {
		d.Entropy[c] /= max(n[c], 1)
		for m := range models {
			var own, common float64
			for i, v := range votes[m] {
				if int(v) == c {
					own++
					if labels[i] == v {
						common++
					}
				}
			}
			dsc := 1.0
			if n[c]+own > 0 {
				dsc = 2 * common / (n[c] + own)
			}
			d.Agreement[c] += dsc / float64(models)
		}
	}
	return d
}

// TestDoubtByDefinition: of one model and of three, of the whole image and of a box.
func TestDoubtByDefinition(t *testing.T) {
	shape := [3]int{9, 13, 11}
	image := noise(voxels(shape))
	for name, gains := range map[string][]float32{"one": {2}, "three": {2, 1, -1}} {
		s := Settings{Classes: 3, Patch: [3]int{4, 6, 8}, Step: 0.5, Votes: true}
		var models []Model
		var logits [][]float64
		for _, g := range gains {
			models = append(models, gain(g))
			all := make([]float64, 3*len(image))
			for i, v := range image {
				all[len(image)+i], all[2*len(image)+i] = float64(g*v), float64(g*(v*v-1))
			}
			logits = append(logits, all)
		}
		got, err := Labels(t.Context(), image, shape, &pointwise{}, models, s)
		if err != nil {
			t.Fatal(err)
		}
		s.Votes = false
		plain, err := Labels(t.Context(), image, shape, &pointwise{}, models, s)
		if err != nil || plain.Doubt != nil || !cmp.Equal(plain.Labels, got.Labels) || plain.Confidence != got.Confidence {
			t.Errorf("%s: labels without doubts differ (%v)", name, err)
		}
		want := byDefinition(logits, got.Labels)
		near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-5 })
		off := 0
		for i := range want.Certain {
			if d := int(want.Certain[i]) - int(got.Doubt.Certain[i]); d > 1 || d < -1 {
				off++
			}
		}
		want.Certain = got.Doubt.Certain
		if d := cmp.Diff(want, got.Doubt, near); off > 0 || d != "" {
			t.Errorf("%s: %d voxels are off; by class (-want +got)\n%s", name, off, d)
		}
		if agreed := got.Doubt.Agreement[1]; len(gains) == 1 && agreed != 1 || len(gains) > 1 && agreed > 0.9 {
			t.Errorf("%s: agreement %v", name, got.Doubt.Agreement)
		}
		// Around a box is background, beyond doubt.
		s.Votes, s.Box = true, volume.Box{Lo: [3]int{2, 3, 1}, Hi: [3]int{8, 12, 10}}
		boxed, err := Labels(t.Context(), image, shape, &pointwise{}, models, s)
		if err != nil || boxed.Doubt.Certain[0] != 255 || boxed.Labels[0] != 0 {
			t.Errorf("%s: around the box %d (%v)", name, boxed.Doubt.Certain[0], err)
		}
		if !(boxed.Doubt.Entropy[0] < got.Doubt.Entropy[0]) {
			t.Errorf("%s: entropy of background %v in the box's case, %v in the whole", name, boxed.Doubt.Entropy[0], got.Doubt.Entropy[0])
		}
	}
}
