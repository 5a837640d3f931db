package predict

import "math"

// softmax turns a plane of logits (C, H, W) into probabilities in place.
func softmax(logits []float32, classes, w int) {
	size := len(logits) / classes
	h := size / w
	bands := min(h, maxThreads)
	parallel(bands, func(_, i int) {
		rows, top, sum := make([][]float32, classes), make([]float32, w), make([]float32, w)
		for y := i * h / bands; y < (i+1)*h/bands; y++ {
			for c := range rows {
				rows[c] = logits[c*size+y*w:][:w]
			}
			softmaxRow(rows, top, sum, 1)
		}
	})
}

// softmaxRow turns a row of logits, a slice for each class, into probabilities
// times share in place. top and sum are as long as a row and overwritten.
func softmaxRow(rows [][]float32, top, sum []float32, share float32) {
	n := len(top)
	clear(sum)
	copy(top, rows[0])
	for _, row := range rows[1:] {
		for x, v := range row[:n] {
			if v > top[x] {
				top[x] = v
			}
		}
	}
	for _, row := range rows {
		exp(row[:n], top)
		for x, v := range row[:n] {
			sum[x] += v
		}
	}
	for x, v := range sum {
		sum[x] = share / v
	}
	for _, row := range rows {
		for x, v := range sum {
			row[x] *= v
		}
	}
}

// exp replaces each value by e^(value-top), where value <= top, in float32 within
// 2 units in the last place: 2^k times a polynomial (Cephes' expf), in less than
// half the time of math.Exp. Products are converted so that no compiler fuses them
// and all processors give the same bits.
func exp(values, top []float32) {
	const (
		ln2Hi, ln2Lo = 0.693359375, -2.12194440e-4
		magic        = 3 << 22 // adding it leaves the nearest integer in the low bits
		least        = -87     // below, the result is 0
	)
	top = top[:len(values)]
	for i, v := range values {
		x := v - top[i]
		if x < least {
			values[i] = 0
			continue
		}
		t := float32(x*math.Log2E) + magic
		k := t - magic
		r := x - float32(k*ln2Hi) - float32(k*ln2Lo)
		p := float32(1.9875691500e-4*r) + 1.3981999507e-3
		p = float32(p*r) + 8.3334519073e-3
		p = float32(p*r) + 4.1665795894e-2
		p = float32(p*r) + 1.6666665459e-1
		p = float32(p*r) + 5.0000001201e-1
		p = float32(float32(p*r)*r) + r + 1
		values[i] = math.Float32frombits(math.Float32bits(p) + math.Float32bits(t)<<23)
	}
}
