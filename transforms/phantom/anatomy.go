package phantom

import (
	"math"

	"noisystudent/model/random"
)

// builder draws the organs of one patient: place and size have streams of their own.
type builder struct {
	place, size *random.Stream
	shift       float64 // mm, SD of an organ's place
	scale       float64 // SD of an organ's size
}

// individual is how one organ deviates: all its parts move and grow together.
type individual struct {
	*builder
	move point
	grow float64
}

func (b *builder) organ() individual {
	move := point{b.place.Normal(), b.place.Normal(), 0.7 * b.place.Normal()}.times(b.shift)
	for c := range move {
		move[c] = min(max(move[c], -2.2*b.shift), 2.2*b.shift)
	}
	return individual{b, move, math.Exp(min(max(b.size.Normal(), -2), 2) * b.scale)}
}

// ellipsoid varies the radii once more, each on its own, and the angles.
func (i individual) ellipsoid(centre, radii, degrees point) ellipsoid {
	for c := range 3 {
		radii[c] *= i.grow * math.Exp(i.size.Uniform(-1, 1)*i.scale/2)
		degrees[c] += i.place.Uniform(-8, 8)
	}
	return newEllipsoid(centre.add(i.move), radii, degrees)
}

// tube takes (R, A, S, radius) a knot; each knot strays a little.
func (i individual) tube(flat float64, knots ...[4]float64) tube {
	t := tube{flat: flat}
	for _, k := range knots {
		stray := point{i.place.Normal(), i.place.Normal(), i.place.Normal()}.times(0.3 * i.shift)
		at := point{k[0], k[1], k[2]}.add(i.move).add(stray)
		t.knots = append(t.knots, knot{at, k[3] * math.Sqrt(i.grow)})
	}
	return t
}

// vessel is a tube that keeps its place better than an organ.
func (i individual) vessel(flat float64, knots ...[4]float64) tube {
	i.move = i.move.times(0.5)
	return i.tube(flat, knots...)
}

// thorax gives what passes the diaphragm: it wins over the lungs.
func thorax(b *builder) []part {
	vessels := b.organ()
	gullet := b.organ().vessel(0.85, [4]float64{-3, -16, 160, 8}, [4]float64{-5, -9, 90, 8}, [4]float64{-12, -3, 46, 9.5}, [4]float64{-33, 19, 22, 10})
	parts := []part{
		newPart(vessels.vessel(1, [4]float64{-16, -24, 170, 11}, [4]float64{-9, -21, 40, 10.5}, [4]float64{-7, -21, -40, 9.5}, [4]float64{-4, -21, -98, 9}), aorta, tissue(aorta)),
		newPart(vessels.vessel(1, [4]float64{-4, -21, -98, 6}, [4]float64{-32, -30, -170, 6}), 0, arterialBlood),
		newPart(vessels.vessel(1, [4]float64{-4, -21, -98, 6}, [4]float64{26, -30, -170, 6}), 0, arterialBlood),
		newPart(b.organ().vessel(0.8, [4]float64{18, 2, 112, 13}, [4]float64{22, -6, 55, 13}, [4]float64{21, -16, 10, 12}, [4]float64{18, -22, -110, 11}), cava, tissue(cava)),
	}
	if b.size.Bool(0.5) { // air or a swallow of fluid in the esophagus
		t := gas
		if b.size.Bool(0.4) {
			t = fluid
		}
		parts = append(parts, newPart(gullet.inner(5.5), esophagus, t))
	}
	return append(parts,
		newPart(gullet, esophagus, tissue(esophagus)),
		newPart(b.organ().ellipsoid(point{-18, 34, 138}, point{56, 46, 44}, point{0, 0, 20}), 0, heart),
	)
}

// retroperitoneum gives adrenals, visceral vessels and lymph nodes.
func retroperitoneum(b *builder) []part {
	r, l := b.organ(), b.organ()
	var parts []part
	for _, limb := range [][2][4]float64{
		{{30, -31, 26, 5.2}, {35, -38, 12, 4.6}}, {{30, -31, 26, 5.2}, {44, -42, 16, 4.2}}, {{27, -27, 31, 4.2}, {30, -31, 25, 5.2}},
	} {
		parts = append(parts, newPart(r.tube(0.9, limb[0], limb[1]), rightAdrenal, tissue(rightAdrenal)))
	}
	for _, limb := range [][2][4]float64{
		{{-30, -27, 17, 5.2}, {-33, -36, 4, 4.8}}, {{-30, -27, 17, 5.2}, {-42, -34, 7, 4.4}}, {{-28, -22, 22, 4.6}, {-30, -27, 17, 5.2}},
	} {
		parts = append(parts, newPart(l.tube(0.9, limb[0], limb[1]), leftAdrenal, tissue(leftAdrenal)))
	}
	// the crura of the diaphragm lie beside the aorta much as the adrenals do
	v := b.organ()
	for _, k := range []struct {
		t tissue
		v tube
	}{
		{muscle, v.vessel(1, [4]float64{11, -22, 66, 6}, [4]float64{14, -33, -20, 5})},
		{muscle, v.vessel(1, [4]float64{-24, -26, 66, 6}, [4]float64{-19, -34, -20, 4.5})},
		{arterialBlood, v.vessel(1, [4]float64{-8, -13, 14, 4}, [4]float64{-4, 8, -12, 4}, [4]float64{-3, 26, -80, 3.5})},                             // superior mesenteric
		{arterialBlood, v.vessel(1, [4]float64{-8, -13, 22, 4}, [4]float64{-6, 6, 24, 4}, [4]float64{28, 14, 26, 3})},                                 // coeliac, hepatic
		{portalBlood, v.vessel(1, [4]float64{8, 28, -85, 5}, [4]float64{12, 19, -10, 6}, [4]float64{34, 12, 24, 6.5}, [4]float64{58, 12, 42, 5})},     // mesenteric and portal vein
		{portalBlood, v.vessel(1, [4]float64{12, 17, -6, 5}, [4]float64{-30, 8, 8, 4.5}, [4]float64{-62, -12, 20, 4}, [4]float64{-88, -24, 30, 3.5})}, // splenic vein
		{venousBlood, v.vessel(1, [4]float64{-42, -34, -16, 5}, [4]float64{-10, -6, -14, 4.5}, [4]float64{16, -14, -16, 4.5})},                        // left renal vein
		{venousBlood, v.vessel(1, [4]float64{42, -34, -26, 4.5}, [4]float64{22, -18, -22, 4.5})},                                                      // right renal vein
	} {
		parts = append(parts, newPart(k.v, 0, k.t))
	}
	for range 3 + b.size.IntN(5) {
		c := point{b.place.Uniform(-40, 35), b.place.Uniform(-20, 30), b.place.Uniform(-80, 35)}
		r := b.size.Uniform(3, 6.5)
		parts = append(parts, newPart(newEllipsoid(c, point{r, r, 1.3 * r}, point{}), 0, node))
	}
	return parts
}

// kidneys gives each kidney with its sinus, which is fat and not labelled, its
// medulla, at times a cyst, and the fat around it that keeps the liver away.
func kidneys(b *builder) []part {
	var parts []part
	for _, k := range []struct {
		label  uint8
		side   float64
		centre point
	}{{rightKidney, 1, point{65, -44, -26}}, {leftKidney, -1, point{-65, -43, -12}}} {
		o := b.organ()
		o.move[0] *= 0.6
		tilt := point{-12, 8 * k.side, -28 * k.side}
		at := func(r, a, s float64) point { return k.centre.add(point{-k.side * r, a, s}) }
		sinus := o.ellipsoid(at(13, 7, 0), point{13, 8, 19}, tilt)
		parts = append(parts, newPart(sinus, 0, visceralFat))
		if b.size.Bool(0.3) {
			c := at(b.place.Uniform(-26, -10), b.place.Uniform(-15, 15), b.place.Uniform(-35, 35))
			r := b.size.Uniform(5, 11)
			parts = append(parts, newPart(newEllipsoid(c.add(o.move), point{r, r, r}, point{}), k.label, cyst))
		}
		outer := o.ellipsoid(k.centre, point{28, 26, 53}, tilt)
		inner := outer
		inner.radii = point{outer.radii[0] - 9, outer.radii[1] - 9, outer.radii[2] - 12}
		around := outer
		around.radii = outer.radii.add(point{1, 1, 1}.times(b.size.Uniform(2, 9)))
		parts = append(parts, newPart(inner, k.label, medulla), newPart(outer, k.label, tissue(k.label)), newPart(around, 0, visceralFat))
	}
	// the liver reaches the front and the side of the right kidney, never its back
	fossa := newEllipsoid(point{56, -66, -30}, point{48, 44, 64}, point{-10, 0, -20})
	return append(parts, newPart(fossa, 0, visceralFat))
}

// upperGut gives gallbladder, duodenum, pancreas and stomach with their contents.
func upperGut(b *builder) []part {
	bladder := b.organ().ellipsoid(point{50, 44, -8}, point{15, 16, 29}, point{-18, 12, 0})
	loop := b.organ().tube(0.95, [4]float64{26, 42, -6, 13}, [4]float64{46, 26, -14, 13}, [4]float64{50, 12, -36, 13}, [4]float64{44, 2, -62, 13},
		[4]float64{16, 0, -74, 12}, [4]float64{-18, 0, -70, 12}, [4]float64{-30, 8, -46, 12})
	gland := b.organ().tube(0.9, [4]float64{30, 18, -36, 14}, [4]float64{26, 24, -14, 16}, [4]float64{6, 30, -4, 12}, [4]float64{-22, 22, 6, 13},
		[4]float64{-52, 4, 16, 13}, [4]float64{-78, -14, 22, 10})
	bag := b.organ().tube(1, [4]float64{-58, -6, 62, 34}, [4]float64{-62, 24, 40, 33}, [4]float64{-48, 52, 10, 26}, [4]float64{-16, 62, -10, 20}, [4]float64{22, 46, -7, 13})
	parts := []part{newPart(bladder, gallbladder, tissue(gallbladder))}
	parts = append(parts, filled(b, loop, duodenum, 3, 0.5)...)
	parts = append(parts, newPart(gland, pancreas, tissue(pancreas)))
	return append(parts, filled(b, bag, stomach, 5, 0.9)...)
}

// filled gives a hollow organ: gas in front, fluid behind, a wall around; collapsed,
// all of it is wall.
func filled(b *builder, t tube, label uint8, thick, chance float64) []part {
	content, open := fluid, b.size.Bool(chance)
	if b.size.Bool(0.2) {
		content = oral
	}
	whole := newPart(t, label, tissue(label))
	level := whole.hi[1] - b.size.Uniform(0.05, 0.4)*(whole.hi[1]-whole.lo[1])
	if !open {
		return []part{whole}
	}
	lumen := t.inner(thick)
	return []part{newPart(above{lumen, level}, label, gas), newPart(lumen, label, content), whole}
}

// solidOrgans gives spleen and liver; what lies before them in the list has pressed
// its shape into them.
func solidOrgans(b *builder) []part {
	milt := b.organ().ellipsoid(point{-104, -32, 40}, point{30, 46, 50}, point{0, 0, -25})
	o := b.organ()
	lobes := []ellipsoid{
		o.ellipsoid(point{74, 4, 44}, point{62, 78, 72}, point{0, 14, 0}),
		o.ellipsoid(point{12, 44, 52}, point{76, 36, 34}, point{0, 10, 8}),
		o.ellipsoid(point{92, 18, -16}, point{33, 50, 46}, point{0, 0, 0}),
	}
	parts := []part{newPart(milt, spleen, tissue(spleen))}
	for _, k := range [][][4]float64{
		{{22, -4, 92, 5}, {60, -10, 62, 3.5}, {95, -20, 30, 2}},
		{{22, 0, 92, 5}, {48, 30, 60, 3}, {62, 50, 30, 2}},
		{{20, 2, 92, 4}, {0, 42, 62, 3}, {-26, 58, 52, 2}},
		{{56, 12, 40, 4.5}, {90, -6, 20, 3}, {104, 10, -20, 2}},
		{{50, 12, 40, 4}, {30, 44, 48, 3}, {-10, 56, 50, 2}},
	} {
		for i := 1; i < len(k); i++ {
			parts = append(parts, inLiver(o.vessel(1, k[i-1], k[i]), lobes, liverVessel))
		}
	}
	for range b.size.IntN(4) {
		c := point{b.place.Uniform(20, 115), b.place.Uniform(-50, 55), b.place.Uniform(-10, 80)}
		r, t := b.size.Uniform(3, 12), lesion
		if b.size.Bool(0.4) {
			t = cyst
		}
		parts = append(parts, inLiver(newEllipsoid(c, point{r, r, r}, point{}), lobes, t))
	}
	for _, l := range lobes {
		parts = append(parts, newPart(l, liver, tissue(liver)))
	}
	return parts
}

// within is the part of a shape that lies in one of several others.
type within struct {
	shape
	of []ellipsoid
}

func (w within) holds(p point) bool {
	if !w.shape.holds(p) {
		return false
	}
	for _, e := range w.of {
		if e.holds(p) {
			return true
		}
	}
	return false
}

func inLiver(s shape, lobes []ellipsoid, t tissue) part {
	return newPart(within{s, lobes}, liver, t)
}

// bowel gives colon and small bowel, which look like stomach and duodenum and are
// background.
func bowel(b *builder) []part {
	var parts []part
	colon := [][4]float64{
		{98, -8, -150, 22},
		{100, 0, -70, 21},
		{92, 26, -42, 18},
		{50, 66, -58, 17},
		{0, 74, -66, 17},
		{-50, 66, -40, 17},
		{-98, 18, 6, 17},
		{-108, -26, -40, 15},
		{-106, -30, -150, 15},
	}
	o := b.organ()
	for i := 1; i < len(colon); i++ {
		t := o.tube(1, colon[i-1], colon[i])
		content := []tissue{gas, stool, stool, fluid}[b.size.IntN(4)]
		parts = append(parts, newPart(t.inner(3), 0, content), newPart(t, 0, wall))
	}
	for range 26 {
		at := point{b.place.Uniform(-88, 70), b.place.Uniform(-4, 76), b.place.Uniform(-150, -12)}
		if at[0] < -10 && b.place.Bool(0.3) {
			at[2] = b.place.Uniform(-20, 18) // jejunum under the stomach
		}
		t := tube{flat: 1}
		r := b.size.Uniform(8, 14)
		for range 3 {
			t.knots = append(t.knots, knot{at, r})
			at = at.add(point{b.place.Uniform(-32, 32), b.place.Uniform(-24, 24), b.place.Uniform(-22, 22)})
		}
		content := []tissue{wall, fluid, fluid, oral, gas}[b.size.IntN(5)]
		parts = append(parts, newPart(t.inner(3), 0, content), newPart(t, 0, wall))
	}
	return parts
}
