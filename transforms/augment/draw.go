package augment

import (
	"math"

	"noisystudent/model/random"
)

// Draw chooses the parameters of one patch. Each transform draws from a child
// stream of its own, so that another table with the same stream differs only where
// the tables differ; s itself is not advanced.
func Draw(s *random.Stream, t Table) Params {
	var p Params
	if c := s.Child(random.Key("rotation")); c.Bool(t.Rotation.P) {
		for a := range p.Angles {
			p.Angles[a] = t.Rotation.uniform(c) * math.Pi / 180
		}
	}
	if c := s.Child(random.Key("scaling")); c.Bool(t.Scaling.P) {
		p.Scale = t.Scaling.uniform(c)
	}
	if c := s.Child(random.Key("noise")); c.Bool(t.Noise.P) {
		p.NoiseSD, p.NoiseSeed = t.Noise.uniform(c), c.Uint64()
	}
	if c := s.Child(random.Key("blur")); c.Bool(t.Blur.P) && c.Bool(t.BlurChannel) {
		for a := range p.BlurSigma {
			p.BlurSigma[a] = t.Blur.uniform(c)
		}
	}
	if c := s.Child(random.Key("brightness")); c.Bool(t.Brightness.P) {
		p.Brightness = t.Brightness.balanced(c)
	}
	if c := s.Child(random.Key("contrast")); c.Bool(t.Contrast.P) {
		p.Contrast = t.Contrast.balanced(c)
	}
	if c := s.Child(random.Key("low resolution")); c.Bool(t.LowRes.P) && c.Bool(t.LowResChannel) {
		p.LowRes = t.LowRes.uniform(c)
	}
	for i, g := range t.Gamma {
		if c := s.Child(random.Key("gamma"), uint64(i)); c.Bool(g.P) {
			p.Gamma = append(p.Gamma, Gamma{Exponent: g.balanced(c), Invert: g.Invert})
		}
	}
	drawMirror(s.Child(random.Key("mirror")), t.Mirror, &p)
	return p
}

func drawMirror(c *random.Stream, m Mirror, p *Params) {
	for a := range m.Axes {
		p.Flip[a] = c.Bool(0.5) && m.Axes[a]
	}
	if p.Flip[2] {
		p.Swap = m.Pairs
	}
}

func (r Range) uniform(c *random.Stream) float64 { return c.Uniform(r.Lo, r.Hi) }

// balanced is batchgeneratorsv2's BGContrast: below 1 with probability one half,
// else from 1 up.
func (r Range) balanced(c *random.Stream) float64 {
	if c.Bool(0.5) && r.Lo < 1 {
		return c.Uniform(r.Lo, 1)
	}
	return c.Uniform(math.Max(r.Lo, 1), r.Hi)
}
