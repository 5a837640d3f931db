// Package random gives counter-based random numbers: a value depends only on the
// key of its stream and on its position in it, never on who draws first.
//
// A stream is keyed by a seed and a path, such as (fold, epoch, step, case,
// purpose), so that a run repeats the same bytes at any parallelism and after a
// resume. Position n of a stream is the SplitMix64 output function (Steele, Lea,
// Flood 2014) of key + n times the golden gamma; keys are derived by the same
// mixing. Not for cryptography.
package random

import (
	"hash/fnv"
	"math"
	"math/bits"
)

const gamma = 0x9e3779b97f4a7c15

// Stream is one sequence of numbers. It is not safe for concurrent use; make a
// Child for each worker.
type Stream struct{ key, next uint64 }

// New returns the stream of a seed and a path.
func New(seed uint64, path ...uint64) *Stream {
	return (&Stream{key: mix(seed + gamma)}).Child(path...)
}

// Child returns the stream at path below s. It does not depend on what was drawn
// from s, and drawing from it does not advance s.
func (s *Stream) Child(path ...uint64) *Stream {
	key := s.key
	for _, p := range path {
		key = mix(bits.RotateLeft64(key, 23) ^ mix(p+gamma))
	}
	return &Stream{key: key}
}

// Key turns a name, such as a case id or a purpose, into an element of a path.
func Key(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(h.Sum64())
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// At returns the value at position n without moving the stream.
func (s *Stream) At(n uint64) uint64 { return mix(s.key + (n+1)*gamma) }

// Uint64 returns 64 uniform bits.
func (s *Stream) Uint64() uint64 {
	v := s.At(s.next)
	s.next++
	return v
}

// Float64 returns a value in [0, 1).
func (s *Stream) Float64() float64 { return unit(s.Uint64()) }

func unit(v uint64) float64 { return float64(v>>11) / (1 << 53) }

// Uniform returns a value in [lo, hi).
func (s *Stream) Uniform(lo, hi float64) float64 { return lo + (hi-lo)*s.Float64() }

// Bool returns true with probability p.
func (s *Stream) Bool(p float64) bool { return s.Float64() < p }

// IntN returns a value in [0, n) without bias; it panics if n is not positive.
func (s *Stream) IntN(n int) int {
	if n <= 0 {
		panic("random: IntN of a range that is not positive")
	}
	for {
		hi, lo := bits.Mul64(s.Uint64(), uint64(n))
		if lo >= -uint64(n)%uint64(n) {
			return int(hi)
		}
	}
}

// Normal returns a value of the standard normal distribution (Box-Muller, one
// value for every two positions; a position that is left over is skipped).
func (s *Stream) Normal() float64 {
	n := (s.next + 1) / 2
	s.next = 2*n + 2
	return s.NormalAt(n)
}

// NormalAt returns the n-th normal value without moving the stream.
func (s *Stream) NormalAt(n uint64) float64 {
	u := unit(s.At(2*n)) + 1.0/(1<<54)
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*unit(s.At(2*n+1)))
}

// Perm returns a random order of 0..n-1.
func (s *Stream) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := s.IntN(i + 1)
		p[i], p[j] = p[j], i
	}
	return p
}
