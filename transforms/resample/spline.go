package resample

import "math"

// The prefilter turns samples s into the coefficients of the cubic B-spline that
// passes through them: c[k-1] + 4c[k] + c[k+1] = s[k]; the taps carry the factor 6
// of the usual form. It is one recursion forwards, f[k] = s[k] + z f[k-1], and one
// backwards, c[k] = z (c[k+1] - f[k]) (Unser 1999, "Splines: a perfect fit").
//
// Beyond its ends a line is constant, scikit-image's mode "edge". SciPy gets this
// from 12 more samples at either end; here the recursions start from their exact
// limits, which differ by under 1e-6 of an edge sample, and two coefficients beyond
// either end (margin) are made for the taps.

// pole is z, the stable root of z^2 + 4z + 1.
var pole = float32(math.Sqrt(3) - 2)

// On a constant tail of samples s, where the forward recursion has the value f at
// the last sample, it tends to L = s*steady, and the backward one starts from
// c = L*level + (f-L)*decay.
var (
	steady = 1 / (1 - pole)
	level  = -pole / (1 - pole)
	decay  = -pole / (1 - pole*pole)
)

// margin is how many coefficients a line has beyond either end.
const margin = 2

// prefilterLines filters four lines of n samples, which begin at margin in slices
// of n+2*margin. Four independent recursions hide each other's latency.
func prefilterLines(lines *[4][]float32, n int) {
	z, end := pole, margin+n
	a, b, c, d := lines[0][:end+margin], lines[1][:end+margin], lines[2][:end+margin], lines[3][:end+margin]
	for _, l := range lines {
		l[0], l[1] = l[margin]*steady, l[margin]*steady
		l[end] = l[end-1]
	}
	pa, pb, pc, pd := a[1], b[1], c[1], d[1]
	for i := margin; i < end; i++ {
		pa, pb, pc, pd = a[i]+z*pa, b[i]+z*pb, c[i]+z*pc, d[i]+z*pd
		a[i], b[i], c[i], d[i] = pa, pb, pc, pd
	}
	for _, l := range lines {
		l[end], l[end+1] = tail(l[end], l[end-1])
	}
	pa, pb, pc, pd = a[end], b[end], c[end], d[end]
	for i := end - 1; i >= 0; i-- {
		pa, pb, pc, pd = z*(pa-a[i]), z*(pb-b[i]), z*(pc-c[i]), z*(pd-d[i])
		a[i], b[i], c[i], d[i] = pa, pb, pc, pd
	}
}

// prefilterRows filters along the first axis of an array of n+2*margin rows of the
// given width, whose samples begin at row margin.
func prefilterRows(data []float32, n, width int) {
	row := func(r int) []float32 { return data[r*width : (r+1)*width] }
	end := margin + n
	left, first := row(0), row(margin)
	for x, s := range first {
		left[x] = s * steady
	}
	copy(row(1), left)
	copy(row(end), row(end-1))
	for r := margin; r < end; r++ {
		forward(row(r), row(r-1))
	}
	finish(row(end), row(end+1), row(end-1))
	for r := end - 1; r >= 0; r-- {
		backward(row(r), row(r+1))
	}
}

// tail returns the two coefficients after the last sample s, where the forward
// recursion has the value f.
func tail(s, f float32) (float32, float32) {
	limit := s * steady
	rest := (f - limit) * pole
	return limit*level + rest*decay, limit*level + rest*pole*decay
}

// finish is tail of a row: out is the last sample, last the forward recursion there.
func finish(out, beyond, last []float32) {
	for x := range out {
		out[x], beyond[x] = tail(out[x], last[x])
	}
}

func forward(row, before []float32) {
	before = before[:len(row)]
	z := pole
	for x, s := range row {
		row[x] = s + z*before[x]
	}
}

func backward(row, after []float32) {
	after = after[:len(row)]
	z := pole
	for x, f := range row {
		row[x] = z * (after[x] - f)
	}
}

// rowsFrom returns the four rows from row first on.
func rowsFrom(data []float32, first, width int) (rows [4][]float32) {
	for k := range rows {
		rows[k] = data[(first+k)*width : (first+k+1)*width]
	}
	return rows
}

// combineRows writes the weighted sum of four rows.
func combineRows(dst []float32, rows [4][]float32, w *[4]float32) {
	n := len(dst)
	a, b, c, d := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n]
	w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
	for x := range dst {
		dst[x] = w0*a[x] + w1*b[x] + w2*c[x] + w3*d[x]
	}
}
