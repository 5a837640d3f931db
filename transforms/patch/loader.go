package patch

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"noisystudent/transforms/augment"
)

// Opener returns the case of a slot. It is called from several goroutines.
type Opener func(ctx context.Context, slot Slot) (Case, error)

// Version of the batches, for what depends on them: raise it when a batch of the same
// key changes.
const Version = 1

// Options say how batches are made ahead. Beside the budget each worker holds the box
// of one case that a turned patch reads, at most the whole case.
type Options struct {
	Workers     int   // goroutines, at least 1
	BudgetBytes int64 // for finished and half-made batches; one is always allowed
}

// Batch is the input of one training step. Its slices belong to the Loader.
type Batch struct {
	Epoch  int64
	Step   int
	Slots  []Slot
	Images []float32 // (N, 1, D, H, W)
	Labels []uint8   // (N, D, H, W)
}

// Loader makes batches in the background and hands them out in order: the batches
// are the same whatever the number of workers.
type Loader struct {
	sampler Sampler
	table   augment.Table
	open    Opener

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	free   chan *pending // batches that nobody reads
	queue  chan *pending // batches under way, in order
	tasks  chan task
	last   *pending // what Next returned

	waited time.Duration
}

// pending is a batch while it is made.
type pending struct {
	Batch
	left sync.WaitGroup
	errs []error // a slot
}

type task struct {
	batch *pending
	slot  int
}

// most batches ahead: more only costs memory, whatever the budget.
const mostAhead = 8

// NewLoader starts making the batches of steps [from, to), counted from the start of
// training. Close it. Every patch is augmented by the table.
func NewLoader(ctx context.Context, s Sampler, table augment.Table, open Opener, from, to int64, o Options) (*Loader, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	voxels := int64(s.BatchSize) * int64(s.Patch[0]) * int64(s.Patch[1]) * int64(s.Patch[2])
	ahead := int(min(max(o.BudgetBytes/(voxels*5), 1), mostAhead)) // 4 bytes of image and 1 of labels
	l := &Loader{sampler: s, table: table, open: open}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.free, l.queue = make(chan *pending, ahead), make(chan *pending, ahead)
	l.tasks = make(chan task)
	for range ahead {
		l.free <- &pending{
			Batch: Batch{Images: make([]float32, voxels), Labels: make([]uint8, voxels)},
			errs:  make([]error, s.BatchSize),
		}
	}
	l.group.Go(func() { l.plan(from, to) })
	for range max(o.Workers, 1) {
		l.group.Go(l.work)
	}
	return l, nil
}

// plan gives out the slots of one batch after the other as buffers become free.
func (l *Loader) plan(from, to int64) {
	defer close(l.queue)
	defer close(l.tasks)
	for n := from; n < to; n++ {
		var b *pending
		select {
		case b = <-l.free:
		case <-l.ctx.Done():
			return
		}
		b.Epoch, b.Step = n/int64(l.sampler.StepsPerEpoch), int(n%int64(l.sampler.StepsPerEpoch))
		b.Slots = l.sampler.Slots(b.Epoch, b.Step)
		b.left.Add(len(b.Slots))
		l.queue <- b // has room for every buffer
		for slot := range b.Slots {
			l.tasks <- task{b, slot}
		}
	}
}

func (l *Loader) work() {
	var scratch scratch
	for t := range l.tasks {
		err := l.ctx.Err()
		if err == nil {
			err = l.fill(&scratch, t)
		}
		t.batch.errs[t.slot] = err
		t.batch.left.Done()
	}
}

// fill makes the patch of one slot.
func (l *Loader) fill(scratch *scratch, t task) error {
	slot := t.batch.Slots[t.slot]
	c, err := l.open(l.ctx, slot)
	if err != nil {
		return err
	}
	corner, err := l.sampler.Corner(l.ctx, slot, c)
	if err != nil {
		return err
	}
	n := len(t.batch.Images) / len(t.batch.Slots)
	dst := augment.Patch{
		Shape:  l.sampler.Patch,
		Image:  t.batch.Images[t.slot*n : (t.slot+1)*n],
		Labels: t.batch.Labels[t.slot*n : (t.slot+1)*n],
	}
	p := l.sampler.Params(slot, l.table)
	if err := scratch.apply.Apply(l.ctx, p, c, corner, dst); err != nil {
		return err
	}
	if d, doubted := c.(Doubted); doubted && l.sampler.Doubt.on() {
		return l.sampler.Doubt.hide(l.ctx, scratch, p, d, corner, slot.stream, dst)
	}
	return nil
}

// Next returns the next batch, or io.EOF after the last. The batch is valid until
// the next call. Not safe for concurrent use.
func (l *Loader) Next() (Batch, error) {
	if l.last != nil {
		l.free <- l.last
		l.last = nil
	}
	start := time.Now()
	defer func() { l.waited += time.Since(start) }()
	b, ok := <-l.queue
	if !ok {
		if err := l.ctx.Err(); err != nil {
			return Batch{}, err
		}
		return Batch{}, io.EOF
	}
	b.left.Wait()
	l.last = b
	for slot, err := range b.errs {
		if err != nil {
			return Batch{}, fmt.Errorf("patch: epoch %d step %d slot %d: %w", b.Epoch, b.Step, slot, err)
		}
	}
	return b.Batch, nil
}

// Waited returns how long callers of Next have waited since the start: little where
// the training step is the bottleneck, most of the time where the patches are. It
// belongs to the goroutine that calls Next.
func (l *Loader) Waited() time.Duration { return l.waited }

// Close stops the workers and waits for them.
func (l *Loader) Close() {
	l.cancel()
	l.group.Wait()
}
