package phantom

import "math"

// point is (R, A, S) in millimetres.
type point [3]float64

func (p point) add(q point) point { return point{p[0] + q[0], p[1] + q[1], p[2] + q[2]} }

func (p point) sub(q point) point { return point{p[0] - q[0], p[1] - q[1], p[2] - q[2]} }

func (p point) times(f float64) point { return point{p[0] * f, p[1] * f, p[2] * f} }

func (p point) dot(q point) float64 { return p[0]*q[0] + p[1]*q[1] + p[2]*q[2] }

// shape is a region of the body.
type shape interface {
	holds(p point) bool
	bounds() (lo, hi point)
}

// ellipsoid has its radii along axes turned by the rows of turn.
type ellipsoid struct {
	centre, radii point
	turn          [3]point
}

// newEllipsoid turns an ellipsoid by angles in degrees about R, then A, then S.
func newEllipsoid(centre, radii, degrees point) ellipsoid {
	return ellipsoid{centre, radii, rotation(degrees)}
}

func (e ellipsoid) holds(p point) bool {
	d := p.sub(e.centre)
	sum := 0.0
	for a := range 3 {
		v := e.turn[a].dot(d) / e.radii[a]
		sum += v * v
	}
	return sum < 1
}

func (e ellipsoid) bounds() (lo, hi point) {
	var half point
	for c := range 3 {
		for a := range 3 {
			v := e.turn[a][c] * e.radii[a]
			half[c] += v * v
		}
		half[c] = math.Sqrt(half[c])
	}
	return e.centre.sub(half), e.centre.add(half)
}

// rotation returns the rows of the rotation by angles in degrees about R, A, S.
func rotation(degrees point) [3]point {
	rows := [3]point{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	for a := range 3 {
		sin, cos := math.Sincos(degrees[a] * math.Pi / 180)
		i, j := (a+1)%3, (a+2)%3
		for r := range rows {
			u, v := rows[r][i], rows[r][j]
			rows[r][i], rows[r][j] = cos*u-sin*v, sin*u+cos*v
		}
	}
	return rows
}

// knot is a point of a tube's axis with the tube's radius there.
type knot struct {
	at     point
	radius float64
}

// tube is a chain of cones with round ends. flat below 1 makes its section flatter
// along A than along R.
type tube struct {
	knots []knot
	flat  float64
}

func (t tube) holds(p point) bool {
	for i := 1; i < len(t.knots); i++ {
		a, b := t.knots[i-1], t.knots[i]
		axis, d := b.at.sub(a.at), p.sub(a.at)
		f := min(max(d.dot(axis)/max(axis.dot(axis), 1e-9), 0), 1)
		r := a.radius + f*(b.radius-a.radius)
		q := d.sub(axis.times(f))
		q[1] /= t.flat
		if q.dot(q) < r*r {
			return true
		}
	}
	return false
}

func (t tube) bounds() (lo, hi point) {
	lo, hi = t.knots[0].at, t.knots[0].at
	for _, k := range t.knots {
		for c := range 3 {
			lo[c], hi[c] = min(lo[c], k.at[c]-k.radius), max(hi[c], k.at[c]+k.radius)
		}
	}
	return lo, hi
}

// inner returns the tube with its wall taken off.
func (t tube) inner(wall float64) tube {
	in := tube{flat: t.flat}
	for _, k := range t.knots {
		in.knots = append(in.knots, knot{k.at, max(k.radius-wall, 0)})
	}
	return in
}

// above is the part of a shape that lies in front of a level: gas in a patient who
// lies on his back.
type above struct {
	shape
	level float64 // A
}

func (g above) holds(p point) bool { return p[1] > g.level && g.shape.holds(p) }

// part is a region with what it is made of.
type part struct {
	shape
	lo, hi point
	label  uint8
	tissue tissue
}

func newPart(s shape, label uint8, t tissue) part {
	lo, hi := s.bounds()
	return part{s, lo, hi, label, t}
}

func (p *part) has(q point) bool {
	return q[0] >= p.lo[0] && q[0] <= p.hi[0] && q[1] >= p.lo[1] && q[1] <= p.hi[1] && q[2] >= p.lo[2] && q[2] <= p.hi[2] && p.holds(q)
}
