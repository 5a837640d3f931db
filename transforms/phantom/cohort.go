package phantom

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// Options say which cohort to make. They travel inside a Beam graph, so every field
// is exported and survives JSON.
type Options struct {
	Out        string // folder or gs:// prefix of the dataset
	Preset     string // whose domains to draw from; empty: those of the demonstration
	Labelled   int
	Unlabelled int
	Validation int
	Test       int
	Seed       uint64
	// Shape and Spacing (z, y, x) set the view and its sampling: 0 means 18x48x64
	// voxels of 5 mm, the smallest view that holds all 13 organs. Cases vary about it.
	Shape   [3]int
	Spacing [3]float64
	// Shifted draws the unlabelled and test cases from another domain.
	Shifted bool
	// Corrupt of the unlabelled files are cut short on purpose, the last ones.
	Corrupt int
	// Truth keeps the labels of the unlabelled cases, in truth/.
	Truth bool
	// Axes is how every file stores its voxels, such as LPS; empty: files differ, and
	// only readers that turn them into one orientation can learn from the cohort.
	Axes string
	// CT and Labels, both or neither, name a real scan to deform; its labels have
	// FLARE's ids. They are addresses: a path or gs://.
	CT, Labels string
}

// withDefaults fills in the view.
func (o Options) withDefaults() Options {
	if o.Shape == [3]int{} {
		o.Shape = [3]int{18, 48, 64}
	}
	if o.Spacing == [3]float64{} {
		o.Spacing = [3]float64{5, 5, 5}
	}
	return o
}

// mostVoxels bounds one case, before anything is allocated.
const mostVoxels = 1 << 28

// Check reports options that no cohort can be made from.
func (o Options) Check() error {
	o = o.withDefaults()
	voxels := 1.0
	for a := range 3 {
		if o.Shape[a] < 4 || !(o.Spacing[a] >= 0.1 && o.Spacing[a] <= 50) {
			return fmt.Errorf("phantom: %v voxels of %v mm: an axis needs at least 4 voxels of 0.1 to 50 mm", o.Shape, o.Spacing)
		}
		voxels *= float64(o.Shape[a])
	}
	switch {
	case o.Out == "":
		return errors.New("phantom: no folder to write to")
	case voxels > mostVoxels:
		return fmt.Errorf("phantom: %v are more than %d voxels", o.Shape, mostVoxels)
	case o.Labelled < 0 || o.Unlabelled < 0 || o.Validation < 0 || o.Test < 0:
		return fmt.Errorf("phantom: %d labelled, %d unlabelled, %d validation and %d test cases", o.Labelled, o.Unlabelled, o.Validation, o.Test)
	case o.Labelled+o.Unlabelled+o.Validation+o.Test == 0:
		return errors.New("phantom: a cohort of no cases")
	case o.Corrupt < 0 || o.Corrupt > o.Unlabelled:
		return fmt.Errorf("phantom: %d corrupt files of %d unlabelled ones", o.Corrupt, o.Unlabelled)
	case o.Axes != "" && !validAxes(o.Axes):
		return fmt.Errorf("phantom: axes %q are not one of R or L, A or P, S or I each", o.Axes)
	case o.Preset != "" && !slices.Contains(Presets(), o.Preset):
		return fmt.Errorf("phantom: no preset %q; there are %s", o.Preset, strings.Join(Presets(), ", "))
	case (o.CT == "") != (o.Labels == ""):
		return errors.New("phantom: a cohort from a real scan needs both the CT and its labels")
	}
	return nil
}

func validAxes(axes string) bool {
	_, err := nifti.NewFrameOriented(volume.Geometry{Direction: upright}, axes)
	return err == nil
}

// Task is one case to make.
type Task struct {
	Set   string // labelled, unlabelled, validation or test
	Index int
}

// ID names a case, such as labelled_0003.
func (t Task) ID() string { return fmt.Sprintf("%s_%04d", t.Set, t.Index) }

// Tasks lists the cases of a cohort.
func (o Options) Tasks() []Task {
	var list []Task
	for _, part := range []struct {
		set string
		n   int
	}{{labelledSet, o.Labelled}, {unlabelledSet, o.Unlabelled}, {validationSet, o.Validation}, {testSet, o.Test}} {
		for i := range part.n {
			list = append(list, Task{part.set, i})
		}
	}
	return list
}

// scan generates one case, from the base if there is one.
func (o Options) scan(t Task, b *base) *scan {
	o = o.withDefaults()
	d := o.domainOf(t.Set)
	s := random.New(o.Seed, random.Key("phantom"), random.Key(t.Set), uint64(t.Index))
	if o.Axes != "" {
		d.axes = []string{o.Axes}
	}
	if b != nil {
		return b.deform(s, d, o.Shape, o.Spacing)
	}
	return render(s, d, o.Shape, o.Spacing)
}

// Make makes and writes one case.
func Make(ctx context.Context, o Options, t Task) (Written, error) {
	if err := o.Check(); err != nil {
		return Written{}, err
	}
	b, err := bases.get(ctx, o)
	if err != nil {
		return Written{}, err
	}
	return o.write(ctx, t, o.scan(t, b))
}

// Generate makes a whole cohort in this process, workers cases at a time.
func Generate(ctx context.Context, o Options, workers int) error {
	if err := WriteDataset(ctx, o); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tasks := make(chan Task)
	var group sync.WaitGroup
	for range max(workers, 1) {
		group.Go(func() {
			for t := range tasks {
				if ctx.Err() != nil {
					continue
				}
				if _, err := Make(ctx, o, t); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, t := range o.Tasks() {
		tasks <- t
	}
	close(tasks)
	group.Wait()
	return context.Cause(ctx)
}

// scans keeps the last real scan that was read: all cases of a cohort share it.
type scans struct {
	mu   sync.Mutex
	key  string
	last *base
}

var bases scans

// get returns the base of a cohort, or nil where it has none.
func (k *scans) get(ctx context.Context, o Options) (*base, error) {
	if o.CT == "" {
		return nil, nil
	}
	key := ""
	for _, address := range []string{o.CT, o.Labels} {
		state, err := state(ctx, address)
		if err != nil {
			return nil, err
		}
		key += state
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && k.key == key {
		return k.last, nil
	}
	b, err := loadBase(ctx, o.CT, o.Labels)
	if err != nil {
		return nil, err
	}
	k.key, k.last = key, b
	return b, nil
}

// state tells one content of a file from another: a file may be replaced while the
// process lives.
func state(ctx context.Context, address string) (string, error) {
	root, key, err := store.Split(address)
	if err != nil {
		return "", fmt.Errorf("phantom: %w", err)
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return "", fmt.Errorf("phantom: %w", err)
	}
	info, err := st.Stat(ctx, key)
	if err != nil {
		return "", fmt.Errorf("phantom: %w", err)
	}
	return fmt.Sprintf("%s %d %d %v\n", address, info.Size, info.Generation, info.ModTime), nil
}
