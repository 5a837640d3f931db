package predict

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/model/engine"
	"noisystudent/transforms/fit/fittest"
)

var errWork = errors.New("the device is lost")

// lend borrows a network of the tiny plan.
func lend(t *testing.T, p *pool, o Options, work func(*network) error) error {
	t.Helper()
	st, c := ready(t, 1)
	models, err := weights.read(t.Context(), st, c.Models)
	if err != nil {
		t.Fatal(err)
	}
	return p.with(t.Context(), engine.PredictConfig{Spec: c.Plan.Network, Patch: c.Plan.PatchSize, Batch: 1}, o, models[0], work)
}

func TestPoolLimitsNetworks(t *testing.T) {
	p := newPool()
	o := Options{Device: "ref", Networks: 2}
	var now, most atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := lend(t, p, o, func(*network) error {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(5 * time.Millisecond)
				now.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() != 2 || p.leased != 0 || len(p.free) != 2 {
		t.Errorf("%d at once, %d leased and %d free at the end", most.Load(), p.leased, len(p.free))
	}
}

func TestPoolKeepsNetworks(t *testing.T) {
	p := newPool()
	o := Options{Device: "ref"}
	var first *network
	use := func(o Options, want bool) {
		t.Helper()
		err := lend(t, p, o, func(n *network) error {
			if first == nil {
				first = n
			}
			if (n == first) != want {
				t.Errorf("the first network again: %v, want %v", n == first, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	use(o, true)
	use(o, true)
	use(Options{Device: "cpu", Threads: 1}, false)
	use(Options{Device: "ref", Kernels: "generic"}, false)
	if len(p.free) != 1 {
		t.Errorf("%d networks are kept where one was allowed", len(p.free))
	}
	use(o, false)
}

func TestPoolRecovers(t *testing.T) {
	for name, work := range map[string]func(*network) error{
		"error": func(*network) error { return errWork },
		"panic": func(*network) error { panic("broken") },
	} {
		p := newPool()
		func() {
			defer func() { recover() }()
			if err := lend(t, p, Options{Device: "ref"}, work); !errors.Is(err, errWork) {
				t.Errorf("%s: %v", name, err)
			}
		}()
		if p.leased != 0 || len(p.free) != 0 {
			t.Errorf("%s: %d networks are leased and %d free afterwards", name, p.leased, len(p.free))
		}
	}
	p := newPool()
	if err := lend(t, p, Options{Device: "abacus"}, nil); err == nil || p.leased != 0 {
		t.Errorf("no such device: %v, %d leased", err, p.leased)
	}
}

func TestPoolWaitsNoLongerThanItsCaller(t *testing.T) {
	p := newPool()
	ctx, cancel := context.WithCancel(t.Context())
	err := lend(t, p, Options{Device: "ref"}, func(*network) error {
		time.AfterFunc(10*time.Millisecond, cancel)
		return p.with(ctx, engine.PredictConfig{}, Options{}, Model{}, nil)
	})
	if !errors.Is(err, context.Canceled) || p.leased != 0 {
		t.Errorf("error %v, %d leased", err, p.leased)
	}
}

// Weights that were half exchanged must not pass for those of the model before.
func TestUseAfterAnError(t *testing.T) {
	p := newPool()
	err := lend(t, p, Options{Device: "ref"}, func(n *network) error {
		if err := n.Use(Model{Digest: "broken"}); err == nil || n.model != "" {
			t.Errorf("a model without weights: %v, holds %q", err, n.model)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestShelfForgets(t *testing.T) {
	s := shelf{models: map[string]Model{}}
	st, c := ready(t, 3)
	for range 2 {
		if _, err := s.read(t.Context(), st, c.Models); err != nil {
			t.Fatal(err)
		}
		if err := st.Remove(t.Context(), "weights1"); err != nil && len(s.models) != 3 {
			t.Fatal(err)
		}
	}
	for range 3 {
		st, c := ready(t, 3)
		for i := range c.Models {
			c.Models[i].Digest += st.Root()
		}
		if _, err := s.read(t.Context(), st, c.Models); err != nil || len(s.models) > kept {
			t.Errorf("%d models are kept, %v", len(s.models), err)
		}
	}
	if _, err := s.read(t.Context(), fittest.Open(t), c.Models); err == nil {
		t.Error("a model that was forgotten is not read again")
	}
}
