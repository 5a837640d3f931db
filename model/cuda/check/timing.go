package check

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"noisystudent/model/engine"
	"noisystudent/model/program"
	"noisystudent/model/random"
)

// Spread is what some runs took in seconds, and the most memory of the card that their
// network has reserved.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Runs   int     `json:"runs"`
	Bytes  int64   `json:"bytes"`
	Error  string  `json:"error,omitempty"` // why there is none
}

// Row is a case with us and the peer's engines, timed in turns.
type Row struct {
	Case   string            `json:"case"`
	Ours   Spread            `json:"ours"`
	Planes float64           `json:"planes,omitempty"` // median seconds to read all logits of a tile, which no peer is timed for
	Peers  map[string]Spread `json:"peers"`
}

// Timer times cases.
type Timer struct {
	Engine       *engine.Engine
	Python       string   // interpreter that has PyTorch
	PeerArgs     []string // of peer.py
	Folder       string   // for peer.py
	Log          io.Writer
	Rounds, Runs int              // turns, and runs a turn
	Patience     time.Duration    // for one answer of the peer
	peers        map[string]*Peer // one an engine: what ends one leaves the others' work
}

// side is one who takes turns.
type side struct {
	spread Spread
	times  []float64
	run    func(n int) ([]float64, error)
}

// Time times a case. What fails is in its row; the rest is timed all the same.
func (t *Timer) Time(ctx context.Context, c Case) Row {
	row := Row{Case: c.Name, Peers: map[string]Spread{}}
	sides := map[string]*side{}
	for _, name := range Engines {
		sides[name] = t.prepare(c, name)
	}
	ours, planes, end, err := t.ours(ctx, c)
	if err != nil {
		ours = &side{spread: Spread{Error: err.Error()}}
	} else {
		defer end()
	}
	for range t.Rounds {
		ours.turn(t.Runs)
		for _, name := range Engines {
			sides[name].turn(t.Runs)
		}
	}
	row.Ours = ours.sum()
	for name, s := range sides {
		row.Peers[name] = s.sum()
	}
	if planes != nil && row.Ours.Error == "" {
		row.Planes, err = planes()
		if err != nil {
			row.Ours.Error = err.Error()
		}
	}
	for name, peer := range t.peers {
		if _, err := peer.ask(t.Patience, map[string]any{"drop": true}); err != nil {
			t.end(name)
		}
	}
	return row
}

func (s *side) turn(runs int) {
	if s.run == nil || s.spread.Error != "" {
		return
	}
	times, err := s.run(runs)
	if err != nil {
		s.spread.Error = err.Error()
	}
	s.times = append(s.times, times...)
}

func (s *side) sum() Spread {
	if len(s.times) > 0 {
		s.spread.Runs, s.spread.Min, s.spread.Median = len(s.times), slices.Min(s.times), median(s.times)
	}
	return s.spread
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// prepare readies an engine of the peer, started anew where it has ended.
func (t *Timer) prepare(c Case, name string) *side {
	peer, ok := t.peers[name]
	if !ok {
		var err error
		if peer, err = StartPeer(t.Python, t.Folder, t.Log, t.PeerArgs...); err != nil {
			return &side{spread: Spread{Error: err.Error()}}
		}
		if t.peers == nil {
			t.peers = map[string]*Peer{}
		}
		t.peers[name] = peer
	}
	a, err := peer.ask(t.Patience, c.request(name))
	if err != nil {
		if a.Error == "" { // it has ended
			t.end(name)
		}
		return &side{spread: Spread{Error: err.Error()}}
	}
	return &side{spread: Spread{Bytes: a.Bytes}, run: func(n int) ([]float64, error) {
		a, err := peer.ask(t.Patience, map[string]any{"time": name, "runs": n})
		return a.Times, err
	}}
}

func (t *Timer) end(name string) {
	t.peers[name].Kill()
	delete(t.peers, name)
}

// Close ends the peer.
func (t *Timer) Close() {
	for name := range t.peers {
		t.end(name)
	}
}

// ours readies our side and warms it up. planes times the reading of logits.
func (t *Timer) ours(ctx context.Context, c Case) (s *side, planes func() (float64, error), end func() error, err error) {
	before, err := t.Engine.Free()
	if err != nil {
		return nil, nil, nil, err
	}
	images, labels := data(c.Patch, c.Batch, c.Spec.Classes, 0)
	trainer, err := t.Engine.NewTrainer(c.trainConfig(program.Float16))
	if err != nil {
		return nil, nil, nil, err
	}
	if err := trainer.Init(random.New(1, 2)); err != nil {
		return nil, nil, nil, err
	}
	work, end := func() error { _, err := trainer.Step(ctx, images, labels, 0.01); return err }, trainer.Close
	if !c.Train {
		state, err := trainer.Snapshot()
		if err != nil {
			return nil, nil, nil, err
		}
		if err := trainer.Close(); err != nil {
			return nil, nil, nil, err
		}
		p, err := t.Engine.NewPredictor(engine.PredictConfig{Spec: c.Spec, Patch: c.Patch, Batch: c.Batch, Precision: program.Float16}, state.Weights)
		if err != nil {
			return nil, nil, nil, err
		}
		work, end = func() error { return p.Forward(ctx, images) }, p.Close
		planes = func() (float64, error) { return readPlanes(p, c) }
	}
	s = &side{run: func(n int) ([]float64, error) { return timed(n, work) }}
	if _, err := s.run(3); err != nil {
		return nil, nil, nil, fmt.Errorf("%w; closed: %v", err, end())
	}
	after, err := t.Engine.Free()
	s.spread.Bytes = before - after
	return s, planes, end, err
}

func timed(n int, work func() error) (times []float64, err error) {
	for range n {
		start := time.Now()
		if err := work(); err != nil {
			return times, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	return times, nil
}

func readPlanes(p *engine.Predictor, c Case) (float64, error) {
	plane := make([]float32, c.Spec.Classes*c.Patch[1]*c.Patch[2])
	times, err := timed(3, func() error {
		for z := range c.Batch * c.Patch[0] {
			if err := p.Plane(z, plane); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return median(times), nil
}
