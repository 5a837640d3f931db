package predict

import (
	"context"
	"fmt"
	"sync"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/model/unet"
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
	if err := n.SetWeights(m.Weights); err != nil {
		return err
	}
	n.model = m.Digest
	return nil
}

// kind is what makes two networks exchangeable.
type kind struct {
	spec    string
	patch   [3]int
	device  string
	threads int
}

// pool keeps the process's networks: Beam sets a DoFn up once for each bundle
// that runs at the same time and never tears it down, so that networks in DoFns
// would fill the memory.
type pool struct {
	mu     sync.Mutex
	change sync.Cond
	free   []*network
	leased int
	models map[string]Model // by digest
}

var process = newPool()

func newPool() *pool {
	p := &pool{models: map[string]Model{}}
	p.change.L = &p.mu
	return p
}

// lease waits for a slot and returns a network. It must be given back before the
// caller waits for anything else.
func (p *pool) lease(spec unet.Spec, patch [3]int, o Options, first Model) (*network, error) {
	want := kind{spec: fmt.Sprint(spec), patch: patch, device: o.Device, threads: o.Threads}
	p.mu.Lock()
	for p.leased >= max(o.Networks, 1) {
		p.change.Wait()
	}
	p.leased++
	var stale []*network
	for i, n := range p.free {
		if n.kind == want {
			p.free = append(p.free[:i], p.free[i+1:]...)
			p.mu.Unlock()
			return n, nil
		}
	}
	if p.leased+len(p.free) > max(o.Networks, 1) { // their memory is wanted for another kind
		stale, p.free = p.free, nil
	}
	p.mu.Unlock()
	for _, n := range stale {
		n.close()
	}
	n, err := load(spec, patch, o, first)
	if err != nil {
		p.done()
		return nil, err
	}
	n.kind = want
	return n, nil
}

func load(spec unet.Spec, patch [3]int, o Options, m Model) (*network, error) {
	e, err := engine.Open(engine.Options{Device: o.Device, Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	p, err := e.NewPredictor(engine.PredictConfig{Spec: spec, Patch: patch, Batch: 1}, m.Weights)
	if err != nil {
		e.Close()
		return nil, err
	}
	return &network{Predictor: p, engine: e, model: m.Digest}, nil
}

func (n *network) close() {
	n.Predictor.Close()
	n.engine.Close()
}

func (p *pool) done() {
	p.mu.Lock()
	p.leased--
	p.mu.Unlock()
	p.change.Signal()
}

// put gives a network back.
func (p *pool) put(n *network) {
	p.mu.Lock()
	p.free = append(p.free, n)
	p.mu.Unlock()
	p.done()
}

// keptModels is how many models' weights a process remembers: an ensemble and some.
const keptModels = 8

// weights reads models, or finds them where this process has read them before.
func (p *pool) weights(ctx context.Context, st *store.Store, refs []ModelRef) ([]Model, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Model, len(refs))
	for i, ref := range refs {
		m, ok := p.models[ref.Digest]
		if !ok {
			tensors, err := fit.ReadTensors(ctx, st, ref.Weights)
			if err != nil {
				return nil, err
			}
			m = Model{Digest: ref.Digest, Weights: tensors}
		}
		out[i] = m
	}
	if len(p.models)+len(out) > keptModels {
		clear(p.models)
	}
	for _, m := range out {
		p.models[m.Digest] = m
	}
	return out, nil
}
