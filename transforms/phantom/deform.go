package phantom

import (
	"context"
	"fmt"
	"math"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// base is the real scan that a cohort is deformed from, canonical.
type base struct {
	image  *volume.Volume
	labels *volume.Labels
	organs []organ
}

// organ is a label's place and reach in the base, in millimetres about its middle.
type organ struct {
	label  uint8
	centre point
	reach  float64
}

// loadBase reads the scan and its labels, which must lie on one grid and use the
// ids 0..13.
func loadBase(ctx context.Context, ct, labels string) (*base, error) {
	b := &base{}
	if err := read(ctx, ct, func(r reader) (err error) {
		b.image, _, err = nifti.Read(r, nifti.Options{})
		return err
	}); err != nil {
		return nil, err
	}
	if err := read(ctx, labels, func(r reader) (err error) {
		b.labels, _, err = nifti.ReadLabels(r, nifti.Options{})
		return err
	}); err != nil {
		return nil, err
	}
	if !b.image.SameGrid(b.labels.Geometry, 0.1) {
		return nil, fmt.Errorf("phantom: %s has %v, %s has %v: not one grid", ct, b.image.Geometry, labels, b.labels.Geometry)
	}
	return b, b.measure(labels)
}

type reader interface{ Read([]byte) (int, error) }

func read(ctx context.Context, address string, decode func(reader) error) error {
	r, err := store.OpenAddress(ctx, address)
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	defer r.Close()
	if err := decode(r); err != nil {
		return fmt.Errorf("phantom: read %s: %w", address, err)
	}
	return nil
}

// measure finds the organs of the base.
func (b *base) measure(name string) error {
	var sum, squares [classes]point
	var n [classes]float64
	for i, l := range b.labels.Data {
		if l == 0 {
			continue
		}
		if l >= classes {
			return fmt.Errorf("phantom: %s holds label %d; a cohort can be made from labels 0 to %d, in FLARE's order", name, l, classes-1)
		}
		p := b.place(i)
		n[l]++
		sum[l] = sum[l].add(p)
		squares[l] = squares[l].add(point{p[0] * p[0], p[1] * p[1], p[2] * p[2]})
	}
	for l := range uint8(classes) {
		if n[l] == 0 {
			continue
		}
		o := organ{label: l, centre: sum[l].times(1 / n[l])}
		for c := range 3 {
			o.reach += math.Sqrt(max(squares[l][c]/n[l]-o.centre[c]*o.centre[c], 0)) / 3
		}
		o.reach = max(12, 1.92*o.reach)
		b.organs = append(b.organs, o)
	}
	if len(b.organs) == 0 {
		return fmt.Errorf("phantom: %s holds no organ", name)
	}
	return nil
}

// place returns the point of a voxel about the middle of the base.
func (b *base) place(i int) point {
	s, mm := b.image.Shape, b.image.Spacing
	return point{
		(float64(i%s[2]) - float64(s[2]-1)/2) * mm[2],
		(float64(i/s[2]%s[1]) - float64(s[1]-1)/2) * mm[1],
		(float64(i/s[2]/s[1]) - float64(s[0]-1)/2) * mm[0],
	}
}

// push moves and inflates one organ with what is around it.
type push struct {
	organ
	move    point
	inflate float64
}

func (b *base) pushes(s *random.Stream, d domain) []push {
	list := make([]push, len(b.organs))
	for i, o := range b.organs {
		c := s.Child(uint64(o.label))
		list[i] = push{o, point{c.Normal(), c.Normal(), 0.6 * c.Normal()}.times(d.organShift), min(max(c.Normal()*d.organSize, -0.4), 0.4)}
	}
	return list
}

func (p push) apply(q point) point {
	r := q.sub(p.centre)
	w := math.Exp(-r.dot(r) / (2 * p.reach * p.reach))
	if w < 1e-4 {
		return q
	}
	return q.add(p.move.add(r.times(p.inflate)).times(w))
}

// deform makes one case from the base: posture, elastic deformation, every organ
// pushed and inflated; then contrast and the scanner.
func (b *base) deform(s *random.Stream, d domain, shape [3]int, spacing [3]float64) *scan {
	g := grid(s.Child(random.Key("grid")), d, shape, spacing)
	c := &scan{
		image:  &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())},
		labels: &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())},
	}
	w := &warp{posture: newPosture(s.Child(random.Key("posture")), d), geometry: g}
	w.add(s.Child(random.Key("elastic")), 40, d.elastic, 0.5)
	pushes := b.pushes(s.Child(random.Key("organs")), d)
	smooth := b.smoothed(g.Spacing)
	mirrored := d.ill.draw(s.Child(random.Key("illness"))).mirrored // of the illnesses, what a deformation can give
	area := g.Shape[1] * g.Shape[2]
	for z := range g.Shape[0] {
		w.slice(z, func(i int, p point) {
			if mirrored {
				p[0] = -p[0]
			}
			for _, push := range pushes {
				p = push.apply(p)
			}
			hu, label := b.sample(smooth, p)
			if mirrored {
				label = otherSide(label)
			}
			c.image.Data[z*area+i], c.labels.Data[z*area+i] = hu, label
		})
	}
	enhance(s.Child(random.Key("hu")), d, c)
	return finish(s, d, c)
}

// smoothed returns the base blurred for a coarser grid.
func (b *base) smoothed(spacing [3]float64) []float32 {
	ratio := math.Cbrt(spacing[0] * spacing[1] * spacing[2] / (b.image.Spacing[0] * b.image.Spacing[1] * b.image.Spacing[2]))
	v := append([]float32(nil), b.image.Data...)
	gauss(v, b.image.Shape, 0.5*(ratio-1))
	return v
}

// sample interpolates the image linearly and takes the nearest label. Beyond its
// ends along the body the base goes on unchanged; beside it there is air.
func (b *base) sample(image []float32, p point) (float32, uint8) {
	shape, mm := b.image.Shape, b.image.Spacing
	var low [3]int
	var f [3]float64
	nearest := 0
	for a := range 3 {
		v := p[2-a]/mm[a] + float64(shape[a]-1)/2
		if a == 0 {
			v = min(max(v, 0), float64(shape[0]-1))
		}
		if v < 0 || v > float64(shape[a]-1) {
			return -1000, 0
		}
		low[a] = min(int(v), max(shape[a]-2, 0))
		f[a] = v - float64(low[a])
		nearest = nearest*shape[a] + int(math.Round(v))
	}
	sum := 0.0
	for corner := range 8 {
		at, weight := 0, 1.0
		for a := range 3 {
			bit := corner >> a & 1
			at = at*shape[a] + min(low[a]+bit, shape[a]-1)
			if bit == 1 {
				weight *= f[a]
			} else {
				weight *= 1 - f[a]
			}
		}
		sum += weight * float64(image[at])
	}
	return float32(sum), b.labels.Data[nearest]
}

// enhance adds what contrast and the patient add to each organ, softened at the
// borders; bone and gas within a label stay as they are.
func enhance(s *random.Stream, d domain, c *scan) {
	added := d.enhancement(s)
	for l := 1; l < classes; l++ {
		added[l] += s.Normal() * d.organHU
	}
	if s.IntN(3) == 0 { // the stomach holds something else
		added[stomach] += s.Uniform(-80, 120) * d.globalHU / 20
	}
	change := make([]float32, len(c.image.Data))
	for i, l := range c.labels.Data {
		if v := c.image.Data[i]; l > 0 && (l == stomach || v > -60 && v < 200) {
			change[i] = float32(added[l])
		}
	}
	gauss(change, c.image.Shape, 0.6)
	for i, v := range change {
		c.image.Data[i] += v
	}
}
