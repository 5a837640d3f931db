package predict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/transforms/fit"
)

// ModelRef names a model in a store.
type ModelRef struct {
	Weights string `json:"weights"` // store key of a safetensors file
	Digest  string `json:"digest"`
}

// Options say how a process predicts.
type Options struct {
	Device   string `json:"device"`   // auto, cpu or ref
	Kernels  string `json:"kernels"`  // of the CPU, empty: the best
	Threads  int    `json:"threads"`  // of one network, 0: all
	Networks int    `json:"networks"` // at once in one process, at least 1
	Memory   int64  `json:"memory"`   // bytes for the cases in work
}

// network is a loaded network of the process.
type network struct {
	*engine.Predictor
	engine *engine.Engine
	kind   kind
	model  string // digest of the weights it holds
}

func (n *network) Use(m Model) error {
	if n.model == m.Digest && m.Digest != "" {
		return nil
	}
	n.model = "" // an error may leave weights of two models
	if err := n.SetWeights(m.Weights); err != nil {
		return m.misfit(err)
	}
	n.model = m.Digest
	return nil
}

// misfit names the file of weights that are not of the plan's network.
func (m Model) misfit(err error) error {
	if !errors.Is(err, engine.ErrState) {
		return err
	}
	return fmt.Errorf("predict: %s does not fit the plan's network: %w; put back the plan or the weights that belong together, or train with --retrain", m.File, err)
}

// kind is what makes two networks exchangeable.
type kind struct {
	network string // its PredictConfig
	device  engine.Options
}

// pool keeps the process's networks: Beam sets a DoFn up once for each bundle
// that runs at the same time and never tears it down, so that networks in DoFns
// would fill the memory.
type pool struct {
	mu     sync.Mutex
	change sync.Cond
	free   []*network
	leased int
}

var process = newPool()

func newPool() *pool {
	p := &pool{}
	p.change.L = &p.mu
	return p
}

// with lends a network to work, after waiting for a slot. Work must not wait for
// anything else meanwhile. A network that has failed is not lent again.
func (p *pool) with(ctx context.Context, c engine.PredictConfig, o Options, first Model, work func(*network) error) error {
	want := kind{fmt.Sprint(c), engine.Options{Device: o.Device, Threads: o.Threads, Kernels: o.Kernels}}
	n, stale, err := p.take(ctx, want, max(o.Networks, 1))
	if err != nil {
		return err
	}
	good := false
	defer func() { p.put(n, good) }() // also after a panic
	for _, s := range stale {
		s.close()
	}
	if n == nil {
		if n, err = load(c, want, first); err != nil {
			return err
		}
	}
	err = work(n)
	good = err == nil
	return err
}

// take waits for a slot. It returns a free network of the kind where there is one,
// and networks of other kinds whose memory is wanted.
func (p *pool) take(ctx context.Context, want kind, most int) (n *network, stale []*network, err error) {
	wake := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.change.Broadcast()
	})
	defer wake()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.leased >= most {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		p.change.Wait()
	}
	p.leased++
	if i := slices.IndexFunc(p.free, func(n *network) bool { return n.kind == want }); i >= 0 {
		n = p.free[i]
		p.free = slices.Delete(p.free, i, i+1)
		return n, nil, nil
	}
	if p.leased+len(p.free) > most {
		stale, p.free = p.free, nil
	}
	return nil, stale, nil
}

// put ends a lease. n may be nil.
func (p *pool) put(n *network, good bool) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if n != nil && good {
			p.free = append(p.free, n)
		}
		p.leased--
		p.change.Broadcast() // those who wait may ask for different limits
	}()
	if n != nil && !good {
		n.close()
	}
}

func load(c engine.PredictConfig, k kind, m Model) (*network, error) {
	e, err := engine.Open(k.device)
	if err != nil {
		return nil, err
	}
	p, err := e.NewPredictor(c, m.Weights)
	if err != nil {
		e.Close()
		return nil, m.misfit(err)
	}
	return &network{Predictor: p, engine: e, kind: k, model: m.Digest}, nil
}

func (n *network) close() {
	n.Predictor.Close()
	n.engine.Close()
}

// shelf keeps the weights that the process has read, by digest.
type shelf struct {
	mu     sync.Mutex
	models map[string]Model
}

var weights = shelf{models: map[string]Model{}}

// kept is how many models a shelf remembers: an ensemble and some.
const kept = 8

// read reads models, or finds them where this process has read them before.
func (s *shelf) read(ctx context.Context, st *store.Store, refs []ModelRef) ([]Model, error) {
	s.mu.Lock() // whoever comes meanwhile wants the same models
	defer s.mu.Unlock()
	out := make([]Model, len(refs))
	for i, ref := range refs {
		m, ok := s.models[ref.Digest]
		if !ok {
			tensors, err := fit.ReadTensors(ctx, st, ref.Weights)
			if err != nil {
				return nil, err
			}
			m = Model{Digest: ref.Digest, File: st.Address(ref.Weights), Weights: tensors}
		}
		out[i] = m
	}
	if len(s.models)+len(out) > kept {
		clear(s.models)
	}
	for _, m := range out {
		s.models[m.Digest] = m
	}
	return out, nil
}
