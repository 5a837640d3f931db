package phantom

import (
	"math"

	"noisystudent/model/random"
)

// patient is one body: proportions, the parts within it, and HU.
type patient struct {
	fat      float64    // mm under the skin at the sides
	muscle   float64    // mm of the abdominal wall
	cavity   [2]float64 // half axes (R, A) of the abdominal cavity
	dome     [2]float64 // height of the right and left diaphragm
	disc     float64    // height of one disc, which sets the spine's phase
	ribs     float64    // the same for the ribs
	hollow   []part     // what lies before lungs: great vessels, esophagus, heart
	contents []part     // the abdomen, the part that wins first
	hu       [tissues]float64
	mirrored bool
}

// newPatient draws a body. Places and sizes are those of textbooks, with the spread
// that both domains share and the domain's own on top.
func newPatient(s *random.Stream, d domain) *patient {
	shape := s.Child(random.Key("body"))
	p := &patient{
		fat:    8 + 24*shape.Float64()*shape.Float64(),
		muscle: shape.Uniform(11, 16),
		cavity: [2]float64{shape.Uniform(120, 132), shape.Uniform(82, 94)},
		dome:   [2]float64{shape.Uniform(90, 112), shape.Uniform(80, 102)},
		disc:   shape.Uniform(0, 33),
		ribs:   shape.Uniform(0, 27),
		hu:     attenuation(s.Child(random.Key("hu")), d),
	}
	b := builder{
		place: s.Child(random.Key("place")), size: s.Child(random.Key("size")),
		shift: math.Hypot(3.5, d.organShift), scale: math.Hypot(0.05, d.organSize),
	}
	p.hollow = thorax(&b)
	p.contents = append(p.contents, retroperitoneum(&b)...)
	p.contents = append(p.contents, kidneys(&b)...)
	p.contents = append(p.contents, upperGut(&b)...)
	p.contents = append(p.contents, solidOrgans(&b)...)
	p.contents = append(p.contents, bowel(&b)...)
	ill := s.Child(random.Key("illness"))
	has := d.ill.draw(ill)
	p.contents, p.mirrored = has.apply(ill, p.contents), has.mirrored
	return p
}

// at returns label and tissue of a point.
func (p *patient) at(q point) (uint8, tissue) {
	if !p.mirrored {
		return p.usual(q)
	}
	q[0] = -q[0]
	label, t := p.usual(q)
	return otherSide(label), t
}

// usual is at of a body whose organs lie where they do in most.
func (p *patient) usual(q point) (uint8, tissue) {
	// depth under the skin, from the ratio of q to the outline of the cavity
	rho := superellipse(q[0]/p.cavity[0], q[1]/p.cavity[1])
	depth := (1 - rho) * (p.cavity[0] + p.cavity[1]) / 2
	cover := p.fat * (1 + 0.25*q[1]/p.cavity[1])
	switch {
	case depth < -p.muscle-cover:
		return 0, p.outside(q)
	case depth < -p.muscle-cover+2:
		return 0, skin
	}
	if t, ok := p.spine(q); ok {
		return 0, t
	}
	if t, ok := muscles(q); ok {
		return 0, t
	}
	switch {
	case depth < -p.muscle:
		return 0, fat
	case depth < 0:
		return 0, p.rib(q, -depth)
	}
	return p.inside(q)
}

func (p *patient) inside(q point) (uint8, tissue) {
	for i := range p.hollow {
		if o := &p.hollow[i]; o.has(q) {
			return o.label, o.tissue
		}
	}
	if p.aboveDome(q) {
		if math.Abs(q[0]) < 14 {
			return 0, visceralFat // mediastinum
		}
		return 0, lung
	}
	for i := range p.contents {
		if o := &p.contents[i]; o.has(q) {
			return o.label, o.tissue
		}
	}
	return 0, visceralFat
}

// superellipse is 1 on the outline of a body with half axes 1; its exponent is 2.5,
// a little squarer than an ellipse.
func superellipse(x, y float64) float64 {
	power := func(v float64) float64 { return v * v * math.Sqrt(math.Abs(v)) }
	return math.Pow(power(x)+power(y), 1/2.5)
}

// outside is air, and the table the patient lies on.
func (p *patient) outside(q point) tissue {
	below := -p.cavity[1] - p.muscle - p.fat - 10
	if q[1] < below && q[1] > below-9 && math.Abs(q[0]) < 190 {
		return table
	}
	return air
}

// aboveDome says whether a point lies in the chest: two paraboloids that reach far
// down behind and at the sides, as the lungs do.
func (p *patient) aboveDome(q point) bool {
	side, height := 68.0, p.dome[0]
	if q[0] < 0 {
		side, height = -68, p.dome[1]
	}
	u, v := (q[0]-side)/64, (q[1]-8)/82
	return q[2] > height-38*u*u-66*v*v
}

// spine gives vertebrae, discs, canal and spinous processes.
func (p *patient) spine(q point) (tissue, bool) {
	x, y := q[0], q[1]
	if math.Abs(x) > 45 || y > -28 || y < -112 {
		return 0, false
	}
	level := math.Mod(q[2]-p.disc+3300, 33)
	body := math.Hypot(x/23, (y+52)/18)
	arch := math.Hypot(x, y+77)
	switch {
	case body < 1 && level < 7:
		return disc, true
	case body < 0.86 && level > 9 && level < 31:
		return marrow, true
	case body < 1:
		return bone, true
	case arch < 9:
		return canal, true
	case arch < 14 && level > 12:
		return bone, true
	case math.Abs(x) < 4 && y < -88 && y > -108 && level > 10 && level < 26:
		return bone, true
	case math.Abs(x) < 42 && math.Abs(y+72) < 5 && level > 14 && level < 24:
		return bone, true // transverse processes
	}
	return 0, false
}

// muscles gives the muscles along the spine and the psoas.
func muscles(q point) (tissue, bool) {
	x, y, z := math.Abs(q[0]), q[1], q[2]
	if math.Hypot((x-33)/28, (y+86)/25) < 1 {
		return muscle, true
	}
	if z < 0 && math.Hypot((x-30+0.12*z)/(9-0.09*max(z, -120)), (y+48)/(9-0.08*max(z, -120))) < 1 {
		return muscle, true
	}
	return 0, false
}

// rib gives the abdominal wall; within it ribs that fall from the spine to the front.
func (p *patient) rib(q point, depth float64) tissue {
	front := (1 + q[1]/math.Hypot(q[0], q[1])) / 2 // 0 at the back, 1 at the front
	height := q[2] + 70*front
	level := math.Mod(height-p.ribs+2700, 27)
	switch {
	case depth < 2 || depth > 10 || level > 9 || height < -20 || front > 0.93:
		return muscle
	case depth < 4 || depth > 8 || level < 2 || level > 7:
		return bone
	}
	return marrow
}
