package volume

// Compact is image voxels as they are stored where that takes at most 16 bits each,
// which is half of what a Volume takes, and float32 where it takes more.
type Compact struct {
	Geometry
	// Short is the stored values, or nil; a value is Short*Slope + Inter, rounded
	// once to float32. Unsigned says that their bits are a uint16's.
	Short        []int16
	Unsigned     bool
	Slope, Inter float64
	// Float is the values where Short is nil.
	Float []float32
}

// Read writes the values from index at on to dst.
func (c *Compact) Read(dst []float32, at int) {
	if c.Short == nil {
		copy(dst, c.Float[at:at+len(dst)])
		return
	}
	src := c.Short[at : at+len(dst)]
	switch {
	case c.Slope != 1 || c.Inter != 0:
		for i, v := range src {
			dst[i] = float32(float64(c.whole(v)*c.Slope) + c.Inter) // the conversion keeps the product from being fused
		}
	case c.Unsigned:
		for i, v := range src {
			dst[i] = float32(uint16(v))
		}
	default:
		for i, v := range src {
			dst[i] = float32(v)
		}
	}
}

func (c *Compact) whole(v int16) float64 {
	if c.Unsigned {
		return float64(uint16(v))
	}
	return float64(v)
}

// Whole returns the values as a Volume.
func (c *Compact) Whole() *Volume {
	v := &Volume{Geometry: c.Geometry, Data: c.Float}
	if c.Short != nil {
		v.Data = make([]float32, len(c.Short))
		c.Read(v.Data, 0)
	}
	return v
}
