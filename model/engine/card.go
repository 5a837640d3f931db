package engine

import (
	"sync"

	"noisystudent/model/cuda"
	"noisystudent/model/device"
)

// cards are the ones that this process has open. What runs on one takes turns; folds or
// shards of a machine with several are given one each.
var cards = struct {
	sync.Mutex
	open map[int]*shared
}{open: map[int]*shared{}}

// shared is a card with the number of its engines.
type shared struct {
	*cuda.Device
	card, engines int
}

// openCard opens a card or shares it with those who have it open.
func openCard(_ Options, card int) (device.Device, error) {
	cards.Lock()
	defer cards.Unlock()
	s, ok := cards.open[card]
	if !ok {
		d, err := cuda.Open(cuda.Options{Card: card})
		if err != nil {
			return nil, err
		}
		s = &shared{Device: d, card: card}
		cards.open[card] = s
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
	return s.Device.Close()
}
