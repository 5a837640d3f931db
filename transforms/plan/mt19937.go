package plan

// mt19937 is the Mersenne Twister of Matsumoto and Nishimura (1998), 32 bits, as
// numpy.random.RandomState(seed) has it. It exists because nnU-Net's folds are
// shuffled with it; everything else draws from model/random.
type mt19937 struct {
	state [624]uint32
	next  int
}

func newMT19937(seed uint32) *mt19937 {
	m := &mt19937{next: 624}
	for i := range m.state {
		m.state[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return m
}

func (m *mt19937) uint32() uint32 {
	if m.next == 624 {
		m.twist()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (m *mt19937) twist() {
	for i := range m.state {
		y := m.state[i]&0x80000000 | m.state[(i+1)%624]&0x7fffffff
		m.state[i] = m.state[(i+397)%624] ^ y>>1 ^ -(y&1)&0x9908b0df
	}
	m.next = 0
}

// upTo returns a value in [0, limit]: masked draws until one fits, as NumPy's
// legacy random_interval.
func (m *mt19937) upTo(limit uint32) uint32 {
	mask := limit
	for shift := 1; shift < 32; shift *= 2 {
		mask |= mask >> shift
	}
	for {
		if v := m.uint32() & mask; v <= limit {
			return v
		}
	}
}

// shuffle returns a random order of 0..n-1, as RandomState.shuffle of arange(n).
func (m *mt19937) shuffle(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := m.upTo(uint32(i))
		p[i], p[j] = p[j], p[i]
	}
	return p
}
