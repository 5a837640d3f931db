package devicetest

import (
	"fmt"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/program"
	"noisystudent/model/ref"
)

// blendCase is an image of one row of tiles, and of a tile below that.
type blendCase struct {
	classes int
	tile    [3]int
	size    [2]int
	models  int
	softmax bool
	flips   bool
}

var blendCases = []blendCase{
	{2, [3]int{1, 1, 1}, [2]int{1, 1}, 1, false, false},
	{14, [3]int{3, 5, 7}, [2]int{9, 11}, 1, false, true},
	{14, [3]int{4, 6, 8}, [2]int{6, 12}, 3, false, false},
	{5, [3]int{2, 6, 8}, [2]int{9, 12}, 2, true, false},
	{17, [3]int{2, 4, 6}, [2]int{7, 6}, 1, true, false},
	{200, [3]int{2, 3, 2}, [2]int{4, 4}, 2, false, true},
}

// blends checks devices that blend; others have nothing to show. Rounded logits are of
// that many binary digits.
func blends(t *testing.T, open func() device.Device, digits int, tolerance float64) {
	for k, c := range blendCases {
		t.Run(fmt.Sprintf("blend/%+v", c), func(t *testing.T) {
			d := open()
			defer closing(t, d)
			c.compare(t, d, uint64(k), digits, tolerance)
		})
	}
}

// compare runs a program that copies its input, the logits, and blends these.
func (c blendCase) compare(t *testing.T, d device.Device, seed uint64, digits int, tolerance float64) {
	b, x, logits := c.copying(seed)
	got, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, got)
	blender, ok := got.(device.Blender)
	if !ok {
		return // blending is optional
	}
	want, err := ref.New64().Load(clone(&b.Program))
	if err != nil {
		t.Fatal(err)
	}
	settings := c.settings(b, x)
	mine, err := blender.Blend(logits, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, mine)
	definition, err := want.(device.Blender).Blend(logits, settings)
	if err != nil {
		t.Fatal(err)
	}
	half := (c.tile[0] + 1) / 2
	for first := 0; first <= half; first += half { // the second row takes the places of planes that are cleared
		for model := range c.models {
			c.row(b, x, digits, func(v []float32, y, left int, flipped [3]bool, share float32) {
				for l, blended := range map[device.Loaded]device.Blended{got: mine, want: definition} {
					for _, err := range []error{l.Write(x, v), l.Run(t.Context()), blended.Add(model, [3]int{first, y, left}, flipped, share)} {
						if err != nil {
							t.Fatal(err)
						}
					}
				}
			})
		}
		c.planes(t, mine, definition, first, tolerance)
		for z := range half {
			for _, blended := range []device.Blended{mine, definition} {
				if err := blended.Clear(first + z); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	c.refuses(t, blender, mine, logits, settings)
}

// sameBlends checks that devices which blend give the same bytes of one row of tiles.
func sameBlends(t *testing.T, opens []func() device.Device) {
	for k, c := range blendCases[1:3] {
		var first [][]float32
		for i, open := range opens {
			got := c.blended(t, open, uint64(k))
			if first == nil {
				first = got
			}
			if err := sameBytes(got, first); err != nil {
				t.Errorf("blend/%+v: device %d: %v", c, i, err)
			}
		}
	}
}

// blended are the labels, their probabilities and the scores of each plane; nothing of a
// device that does not blend.
func (c blendCase) blended(t *testing.T, open func() device.Device, seed uint64) (planes [][]float32) {
	t.Helper()
	d := open()
	defer closing(t, d)
	b, x, logits := c.copying(seed)
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	blender, ok := l.(device.Blender)
	if !ok {
		return nil
	}
	sums, err := blender.Blend(logits, c.settings(b, x))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, sums)
	for model := range c.models {
		c.row(b, x, 24, func(v []float32, y, left int, flipped [3]bool, share float32) {
			for _, err := range []error{l.Write(x, v), l.Run(t.Context()), sums.Add(model, [3]int{0, y, left}, flipped, share)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	area := c.size[0] * c.size[1]
	for z := range c.tile[0] {
		labels, classes := make([]uint8, area), make([]float32, area)
		probability, scores := make([]float32, area), make([]float32, c.classes*area)
		for _, err := range []error{sums.Labels(z, labels, probability), sums.Scores(z, scores)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i, label := range labels {
			classes[i] = float32(label)
		}
		planes = append(planes, classes, probability, scores)
	}
	return planes
}

// copying is a program that copies its input x, the logits.
func (c blendCase) copying(seed uint64) (b *problem, x, logits program.ID) {
	b = newProblem(26, seed)
	shape := append([]int{1, c.classes}, c.tile[:]...)
	x = b.given("x", program.Activation, program.Input, 3, 0, shape...)
	logits = b.want("logits", program.Activation, shape...)
	b.Emit(program.NormAct{In: program.View{Buf: x, Norm: program.None}, Out: logits})
	return b, x, logits
}

// settings are how its tiles, of which x is one, are blended.
func (c blendCase) settings(b *problem, x program.ID) device.Blend {
	s := device.Blend{Models: c.models, Size: c.size, Softmax: c.softmax, Weights: make([]float32, len(b.values[x])/c.classes)}
	for i := range s.Weights {
		s.Weights[i] = float32(b.stream.Uniform(0.1, 1))
	}
	return s
}

// row adds random tiles so that they cover planes, each twice where there are flips.
func (c blendCase) row(b *problem, x program.ID, digits int, add func(v []float32, y, left int, flipped [3]bool, share float32)) {
	for _, y := range []int{0, c.size[0] - c.tile[1]} {
		for _, left := range []int{0, (c.size[1] - c.tile[2]) / 2, c.size[1] - c.tile[2]} {
			for i := range b.values[x] {
				b.values[x][i] = float32(3 * b.stream.Normal())
			}
			b.round(digits)
			if !c.flips {
				add(b.values[x], y, left, [3]bool{}, 1)
				continue
			}
			add(b.values[x], y, left, [3]bool{true, false, true}, 0.25)
			add(b.values[x], y, left, [3]bool{false, true, false}, 0.75)
		}
	}
}

func (c blendCase) planes(t *testing.T, mine, definition device.Blended, first int, tolerance float64) {
	t.Helper()
	area := c.size[0] * c.size[1]
	for z := first; z < first+c.tile[0]; z++ {
		var labels [2][]uint8
		var probability, scores [2][]float32
		for i, blended := range []device.Blended{mine, definition} {
			labels[i], probability[i], scores[i] = make([]uint8, area), make([]float32, area), make([]float32, c.classes*area)
			if err := blended.Labels(z, labels[i], probability[i]); err != nil {
				t.Fatal(err)
			}
			if err := blended.Scores(z, scores[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := near(scores[0], scores[1], tolerance, 0); err != nil {
			t.Errorf("plane %d: scores: %v", z, err)
		}
		if err := near(probability[0], probability[1], tolerance, 0); err != nil {
			t.Errorf("plane %d: probabilities: %v", z, err)
		}
		for i, label := range labels[0] {
			if top := scores[0][int(label)*area+i]; label != labels[1][i] && float64(scores[0][int(labels[1][i])*area+i]) < float64(top)-tolerance {
				t.Errorf("plane %d voxel %d: label %d, want %d", z, i, label, labels[1][i])
			}
			for k := range c.classes {
				if s, top := scores[0][k*area+i], scores[0][int(label)*area+i]; s > top || s == top && k < int(label) {
					t.Fatalf("plane %d voxel %d: label %d of score %g, but class %d has %g", z, i, label, top, k, s)
				}
			}
		}
	}
}

func (c blendCase) refuses(t *testing.T, blender device.Blender, b device.Blended, logits program.ID, settings device.Blend) {
	t.Helper()
	area := c.size[0] * c.size[1]
	for name, err := range map[string]error{
		"a model too many":        b.Add(c.models, [3]int{}, [3]bool{}, 1),
		"a tile outside":          b.Add(0, [3]int{0, c.size[0], 0}, [3]bool{}, 1),
		"a tile before all":       b.Add(0, [3]int{0, 0, -1}, [3]bool{}, 1),
		"short labels":            b.Labels(0, make([]uint8, area-1), make([]float32, area)),
		"long probabilities":      b.Labels(0, make([]uint8, area), make([]float32, area+1)),
		"short scores":            b.Scores(0, make([]float32, c.classes*area-1)),
		"a plane before all":      b.Scores(-1, make([]float32, c.classes*area)),
		"weights of another tile": blend(blender, logits, device.Blend{Models: 1, Size: settings.Size, Weights: settings.Weights[1:]}),
		"no model":                blend(blender, logits, device.Blend{Size: settings.Size, Weights: settings.Weights}),
		"no buffer":               blend(blender, program.None, settings),
	} {
		if err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}

func blend(b device.Blender, logits program.ID, settings device.Blend) error {
	blended, err := b.Blend(logits, settings)
	if err == nil {
		blended.Close()
	}
	return err
}
