package patch

import (
	"context"
	"sync"
)

// Cache keeps whole cases in memory as long as a budget lasts: the first ones that
// are opened stay, the others are read by box every time. Cases are drawn uniformly,
// so that replacing one by another would gain nothing. What a patch contains does
// not depend on the cache. Safe for concurrent use.
type Cache struct {
	open  Opener
	mu    sync.Mutex
	left  int64
	cases map[key]*entry
}

type key struct {
	pseudo bool
	index  int
}

type entry struct {
	once sync.Once
	c    Case
	err  error
}

// NewCache returns a cache before open.
func NewCache(open Opener, budgetBytes int64) *Cache {
	return &Cache{open: open, left: budgetBytes, cases: map[key]*entry{}}
}

// Open is an Opener. Two callers that ask for one case wait for one reading. A
// failure is not kept.
func (c *Cache) Open(ctx context.Context, slot Slot) (Case, error) {
	k := key{slot.Pseudo, slot.Index}
	c.mu.Lock()
	e := c.cases[k]
	if e == nil {
		e = &entry{}
		c.cases[k] = e
	}
	c.mu.Unlock()
	e.once.Do(func() { e.c, e.err = c.load(ctx, slot) })
	if e.err != nil {
		c.mu.Lock()
		if c.cases[k] == e {
			delete(c.cases, k)
		}
		c.mu.Unlock()
	}
	return e.c, e.err
}

func (c *Cache) load(ctx context.Context, slot Slot) (Case, error) {
	stored, err := c.open(ctx, slot)
	if err != nil {
		return nil, err
	}
	shape := stored.Shape()
	n := int64(shape[0]) * int64(shape[1]) * int64(shape[2])
	bytes := 5 * n
	asked, doubted := stored.(Doubted)
	second, soft := stored.(Soft)
	if doubted {
		bytes += n
	}
	if soft {
		bytes += n
	}
	if !c.take(bytes) {
		return stored, nil
	}
	m := &memoryCase{Case: stored, shape: shape, image: make([]float32, n), labels: make([]uint8, n)}
	if err = stored.ReadImage(ctx, [3]int{}, shape, m.image); err == nil {
		err = stored.ReadLabels(ctx, [3]int{}, shape, m.labels)
	}
	d := &doubtedCase{memoryCase: m}
	if doubted && err == nil {
		d.certain = make([]uint8, n)
		err = asked.ReadCertain(ctx, [3]int{}, shape, d.certain)
	}
	s := &softCase{doubtedCase: d}
	if soft && err == nil {
		s.second = make([]uint8, n)
		err = second.ReadSecond(ctx, [3]int{}, shape, s.second)
	}
	if err != nil {
		c.take(-bytes)
		return nil, err
	}
	switch {
	case soft:
		return s, nil
	case doubted:
		return d, nil
	}
	return m, nil
}

func (c *Cache) take(bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes > c.left {
		return false
	}
	c.left -= bytes
	return true
}

// memoryCase answers boxes from memory; positions stay with the stored case.
type memoryCase struct {
	Case
	shape  [3]int
	image  []float32
	labels []uint8
}

func (m *memoryCase) ReadImage(_ context.Context, lo, hi [3]int, dst []float32) error {
	copyBox(dst, m.image, m.shape, lo, hi)
	return nil
}

func (m *memoryCase) ReadLabels(_ context.Context, lo, hi [3]int, dst []uint8) error {
	copyBox(dst, m.labels, m.shape, lo, hi)
	return nil
}

// doubtedCase answers how probable labels are, too.
type doubtedCase struct {
	*memoryCase
	certain []uint8
}

func (m *doubtedCase) ReadCertain(_ context.Context, lo, hi [3]int, dst []uint8) error {
	copyBox(dst, m.certain, m.shape, lo, hi)
	return nil
}

// softCase answers what else labels may be, too.
type softCase struct {
	*doubtedCase
	second []uint8
}

func (m *softCase) ReadSecond(_ context.Context, lo, hi [3]int, dst []uint8) error {
	copyBox(dst, m.second, m.shape, lo, hi)
	return nil
}

func copyBox[T any](dst, src []T, shape, lo, hi [3]int) {
	i := 0
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			i += copy(dst[i:], src[(z*shape[1]+y)*shape[2]:][lo[2]:hi[2]])
		}
	}
}
