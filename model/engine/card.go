package engine

import (
	"fmt"
	"maps"
	"sync"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/device"
)

// cards are the ones that this process has open. What runs on one takes turns; folds or
// shards of a machine with several are given one each.
var cards = struct {
	sync.Mutex
	open map[int]*shared
	past map[int]cuda.Counters // of openings that have ended
}{open: map[int]*shared{}, past: map[int]cuda.Counters{}}

// CardUse is what this process has done on a card.
type CardUse = cuda.Counters

// Cards returns what this process has done on cards, by their numbers.
func Cards() map[int]CardUse {
	cards.Lock()
	defer cards.Unlock()
	use := maps.Clone(cards.past)
	for n, s := range cards.open {
		use[n] = use[n].Add(s.Counters())
	}
	return use
}

// shared is a card with the number of its engines.
type shared struct {
	*cuda.Device
	card, engines int
	hung          chan error // of a trial that has not ended in its time, with its result when it does; else nil
}

// cardOptions open cards; tests have others.
var cardOptions cuda.Options

// Environment variables that name libraries, each the file or its folder; driver.Open and
// nvrtc.Locate read them.
const (
	LibcudaVariable = driver.Variable
	NVRTCVariable   = nvrtc.Variable
)

// openCard opens a card or shares it with those who have it open.
func openCard(_ Options, card int) (device.Device, error) {
	cards.Lock()
	defer cards.Unlock()
	s, ok := cards.open[card]
	if !ok {
		o := cardOptions
		o.Card = card
		d, err := cuda.Open(o)
		if err != nil {
			return nil, err
		}
		s = &shared{Device: d, card: card}
		cards.open[card] = s
	}
	if s.hung != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), errHung)
	}
	s.engines++
	return s, nil
}

// Close gives the card back with the last engine.
func (s *shared) Close() error {
	cards.Lock()
	defer cards.Unlock()
	s.engines--
	if s.engines > 0 {
		return nil
	}
	delete(cards.open, s.card)
	use := s.Counters()
	use.Busy = -1 // from now on
	cards.past[s.card] = cards.past[s.card].Add(use)
	return s.Device.Close()
}
