package phantom

import (
	"math"

	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// scan is one case before it is written.
type scan struct {
	image  *volume.Volume
	labels *volume.Labels
	axes   string // how the file stores it
}

// upright is the direction of canonical axes (z, y, x): superior, anterior, right.
var upright = [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}

// grid draws the voxel grid of a case: the view stays about that of shape and
// spacing (z, y, x), the spacing varies.
func grid(s *random.Stream, d domain, shape [3]int, spacing [3]float64) volume.Geometry {
	plane, slice := s.Uniform(1-d.grid, 1+d.grid), s.Uniform(1-d.grid, 1+d.grid)
	g := volume.Geometry{Direction: upright}
	for a, change := range [3]float64{slice, plane, plane} {
		g.Spacing[a] = math.Round(spacing[a]*change*1e4) / 1e4
		g.Shape[a] = max(int(math.Round(float64(shape[a])*spacing[a]/g.Spacing[a])), 1)
	}
	// the middle of the view lies anywhere in the scanner
	middle := point{s.Uniform(-15, 15), s.Uniform(-170, -120), s.Uniform(-900, 200)}
	for w := range 3 {
		a := 2 - w
		g.Origin[w] = math.Round((middle[w]-float64(g.Shape[a]-1)/2*g.Spacing[a])*1e3) / 1e3
	}
	return g
}

// posture maps a point of the view, in millimetres about its middle, to the body.
type posture struct {
	rows  [3]point
	shift point
}

func newPosture(s *random.Stream, d domain) posture {
	var p posture
	angles := point{s.Uniform(-d.rotation, d.rotation) / 2, s.Uniform(-d.rotation, d.rotation) / 2, s.Uniform(-d.rotation, d.rotation)}
	p.rows = rotation(angles)
	for c := range 3 {
		size := s.Uniform(1-d.scale, 1+d.scale)
		p.rows[c] = p.rows[c].times(1 / size)
		p.shift[c] = s.Uniform(-d.shift, d.shift)
	}
	p.shift[2] /= 3
	return p
}

func (p posture) of(q point) point {
	return point{p.rows[0].dot(q), p.rows[1].dot(q), p.rows[2].dot(q)}.add(p.shift)
}

// warp is a posture with a smooth deformation, evaluated a slice at a time.
type warp struct {
	posture
	geometry volume.Geometry
	fields   []component
	planes   [][]float32
}

// component moves points along one axis by field times mm.
type component struct {
	field
	axis int
	mm   float64
}

// knotPart is the distance of knots as a part of the length of a deformation, and
// rms its SD, such that SD and slope agree with cubic interpolation between normal
// numbers that length apart.
const (
	knotPart = 0.74
	rms      = 0.83
)

// add puts a deformation of a length and an SD, both in mm; along the body's axis it
// is along times as strong.
func (w *warp) add(s *random.Stream, length, mm, along float64) {
	var step [3]float64
	for a, v := range w.geometry.Spacing {
		step[a] = length * knotPart / v
	}
	for axis := range 3 {
		c := component{newField(s.Child(uint64(axis)), w.geometry.Shape, step), axis, mm * rms}
		if axis == 2 {
			c.mm *= along
		}
		w.fields = append(w.fields, c)
		w.planes = append(w.planes, make([]float32, w.geometry.Shape[1]*w.geometry.Shape[2]))
	}
}

// slice calls do with the body's point of every voxel of slice z; i counts within it.
func (w *warp) slice(z int, do func(i int, p point)) {
	for k, f := range w.fields {
		f.plane(z, w.planes[k])
	}
	g := w.geometry
	half := point{float64(g.Shape[2]-1) / 2, float64(g.Shape[1]-1) / 2, float64(g.Shape[0]-1) / 2}
	for i := range g.Shape[1] * g.Shape[2] {
		p := w.of(point{
			(float64(i%g.Shape[2]) - half[0]) * g.Spacing[2],
			(float64(i/g.Shape[2]) - half[1]) * g.Spacing[1],
			(float64(z) - half[2]) * g.Spacing[0],
		})
		for k, f := range w.fields {
			p[f.axis] += f.mm * float64(w.planes[k][i])
		}
		do(i, p)
	}
}

// acquire turns true HU into a scan: calibration, texture, blur, noise, range.
func acquire(s *random.Stream, d domain, v *volume.Volume) {
	texture := newField(s.Child(random.Key("texture")), v.Shape, [3]float64{
		10 * knotPart / v.Spacing[0], 10 * knotPart / v.Spacing[1], 10 * knotPart / v.Spacing[2],
	})
	offset := float32(s.Normal() * d.globalHU)
	plane := make([]float32, v.Shape[1]*v.Shape[2])
	for z := range v.Shape[0] {
		texture.plane(z, plane)
		slice := v.Data[z*len(plane):][:len(plane)]
		for i, t := range plane {
			if slice[i] > -300 {
				slice[i] += offset
			}
			slice[i] += float32(t * float32(rms*d.textureHU)) // see doc.go: never fused
		}
	}
	gauss(v.Data, v.Shape, d.blur.draw(s))
	addNoise(s.Child(random.Key("noise")), v, d.noiseHU.draw(s))
	for i, x := range v.Data {
		v.Data[i] = min(max(x, -1024), 1500)
	}
}

// addNoise adds Gaussian noise that neighbours share a little, as reconstruction
// leaves it.
func addNoise(s *random.Stream, v *volume.Volume, sd float64) {
	noise := make([]float32, len(v.Data))
	for i := range noise {
		noise[i] = float32(s.NormalAt(uint64(i)))
	}
	gauss(noise, v.Shape, 0.5)
	var squares float64
	for _, x := range noise {
		squares += float64(x) * float64(x)
	}
	scale := float32(sd / math.Sqrt(squares/float64(len(noise))))
	for i, x := range noise {
		v.Data[i] += float32(x * scale) // see doc.go: never fused
	}
}

// cutField drops slices at one end of the view in half of the cases.
func cutField(s *random.Stream, d domain, c *scan) {
	slices := c.image.Shape[0]
	most := int(d.fieldCut * float64(slices))
	if most < 1 || s.Bool(0.5) {
		return
	}
	cut := 1 + s.IntN(most)
	box := volume.Whole(c.image.Shape)
	if s.Bool(0.5) {
		box.Lo[0] = cut
	} else {
		box.Hi[0] -= cut
	}
	g := c.image.Crop(box)
	c.image = &volume.Volume{Geometry: g, Data: volume.Crop(c.image.Data, c.image.Shape, box)}
	c.labels = &volume.Labels{Geometry: g, Data: volume.Crop(c.labels.Data, c.labels.Shape, box)}
}
