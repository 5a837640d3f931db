package phantom

import (
	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// render makes one phantom.
func render(s *random.Stream, d domain, shape [3]int, spacing [3]float64) *scan {
	g := grid(s.Child(random.Key("grid")), d, shape, spacing)
	c := &scan{
		image:  &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())},
		labels: &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())},
	}
	body := newPatient(s.Child(random.Key("patient")), d)
	w := &warp{posture: newPosture(s.Child(random.Key("posture")), d), geometry: g}
	w.add(s.Child(random.Key("elastic")), 60, d.elastic, 0.5)
	w.add(s.Child(random.Key("outline")), 18, 1.2, 1)
	area := g.Shape[1] * g.Shape[2]
	for z := range g.Shape[0] {
		w.slice(z, func(i int, p point) {
			label, t := body.at(p)
			c.labels.Data[z*area+i] = label
			c.image.Data[z*area+i] = float32(body.hu[t])
		})
	}
	gauss(c.image.Data, g.Shape, 0.5) // voxels hold parts of several tissues
	return finish(s, d, c)
}

// finish is what both kinds of cohort share after the anatomy.
func finish(s *random.Stream, d domain, c *scan) *scan {
	acquire(s.Child(random.Key("scanner")), d, c.image)
	cutField(s.Child(random.Key("view")), d, c)
	file := s.Child(random.Key("file"))
	c.axes = d.axes[file.IntN(len(d.axes))]
	return c
}
