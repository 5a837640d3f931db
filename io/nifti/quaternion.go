package nifti

import (
	"fmt"
	"math"
)

// affine builds the transform of a qform, METHOD 2 of nifti1.h.
func (q QForm) affine(pixdim [3]float64) (Affine, error) {
	r, err := rotation(q.Quatern)
	if err != nil {
		return Affine{}, err
	}
	var m Affine
	for w := range 3 {
		m[w] = [4]float64{r[w][0] * pixdim[0], r[w][1] * pixdim[1], r[w][2] * pixdim[2] * q.Factor, q.Offset[w]}
	}
	return m, nil
}

// rotation turns the imaginary part of a unit quaternion into a matrix. Its real
// part is what is missing to length 1; below halfTurn that is float32 rounding
// and means 0, as in the standard's reference code. A length clearly over 1 is
// no quaternion, and the field's tools part there: nibabel refuses, ITK
// normalises.
func rotation(v [3]float64) ([3][3]float64, error) {
	const halfTurn, slack = 1e-7, 1e-3
	b, c, d := v[0], v[1], v[2]
	square := b*b + c*c + d*d
	if !(square <= 1+slack) {
		return [3][3]float64{}, fmt.Errorf("quaternion (%g, %g, %g) is longer than 1", b, c, d)
	}
	a := 0.0
	if 1-square < halfTurn {
		l := math.Sqrt(square)
		b, c, d = b/l, c/l, d/l
	} else {
		a = math.Sqrt(1 - square)
	}
	return [3][3]float64{
		{a*a + b*b - c*c - d*d, 2 * (b*c - a*d), 2 * (b*d + a*c)},
		{2 * (b*c + a*d), a*a + c*c - b*b - d*d, 2 * (c*d - a*b)},
		{2 * (b*d - a*c), 2 * (c*d + a*b), a*a + d*d - b*b - c*c},
	}, nil
}

// qform is the inverse of affine for orthogonal columns.
func (m Affine) qform() QForm {
	var r [3][3]float64
	for c := range 3 {
		length := norm(m.column(c))
		for w := range 3 {
			r[w][c] = m[w][c] / length
		}
	}
	q := QForm{Factor: 1, Offset: m.column(3)}
	if determinant(r) < 0 {
		q.Factor = -1
		for w := range 3 {
			r[w][2] = -r[w][2]
		}
	}
	q.Quatern = quaternion(r)
	return q
}

// quaternion starts from the largest of its four parts, which keeps every angle
// accurate, and has the sign that makes the real part positive.
func quaternion(r [3][3]float64) [3]float64 {
	squares := [4]float64{ // four times a², b², c², d²
		1 + r[0][0] + r[1][1] + r[2][2],
		1 + r[0][0] - r[1][1] - r[2][2],
		1 - r[0][0] + r[1][1] - r[2][2],
		1 - r[0][0] - r[1][1] + r[2][2],
	}
	largest := 0
	for i, s := range squares {
		if s > squares[largest] {
			largest = i
		}
	}
	twice := math.Sqrt(squares[largest])                            // of the largest part
	ab, ac, ad := r[2][1]-r[1][2], r[0][2]-r[2][0], r[1][0]-r[0][1] // four times the products
	bc, bd, cd := r[1][0]+r[0][1], r[0][2]+r[2][0], r[2][1]+r[1][2]
	q := [4][4]float64{
		{twice * twice, ab, ac, ad},
		{ab, twice * twice, bc, bd},
		{ac, bc, twice * twice, cd},
		{ad, bd, cd, twice * twice},
	}[largest]
	sign := 1.0
	if q[0] < 0 {
		sign = -1
	}
	// The last bits are given away so that the three parts never measure more than
	// 1, which nibabel refuses.
	l := sign * math.Sqrt(q[0]*q[0]+q[1]*q[1]+q[2]*q[2]+q[3]*q[3]) * (1 + 4e-16)
	return [3]float64{q[1] / l, q[2] / l, q[3] / l}
}

func determinant(r [3][3]float64) float64 {
	return r[0][0]*(r[1][1]*r[2][2]-r[1][2]*r[2][1]) -
		r[0][1]*(r[1][0]*r[2][2]-r[1][2]*r[2][0]) +
		r[0][2]*(r[1][0]*r[2][1]-r[1][1]*r[2][0])
}
