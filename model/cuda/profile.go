package cuda

import (
	"errors"
	"fmt"
	"time"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
)

// Took is what the kernels of one instruction took.
type Took struct {
	Instr   int      // index in the program, -1 for what packs weights that have changed
	Kernels []string // files and names, in order
	Times   []time.Duration
}

// Profile runs a program that a Device has loaded some times, without its graph, and
// measures each instruction by the card's clock.
func Profile(loaded device.Loaded, runs int) (list []Took, err error) {
	l, err := loadedBy(loaded)
	if err != nil {
		return nil, err
	}
	parts := l.parts()
	var events []driver.Event
	defer func() {
		for _, e := range events {
			err = errors.Join(err, e.Close())
		}
	}()
	for range len(parts) + 1 {
		e, err := l.d.context.Event()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	for t, part := range parts {
		list = append(list, Took{Instr: t - 1})
		for _, launch := range part {
			list[t].Kernels = append(list[t].Kernels, launch.Name)
		}
	}
	for range runs {
		if err := l.timed(parts, events); err != nil {
			return nil, fmt.Errorf("cuda: profile: %w", err)
		}
		for t := range parts {
			took, err := events[t+1].Since(events[t])
			if err != nil {
				return nil, err
			}
			list[t].Times = append(list[t].Times, took)
		}
	}
	return list, nil
}

func loadedBy(l device.Loaded) (*loaded, error) {
	if l, ok := l.(*loaded); ok {
		return l, nil
	}
	return nil, errors.New("cuda: profile: the program is not on a card")
}

// parts are the launches that pack weights, then those of each instruction.
func (l *loaded) parts() [][]*driver.Launch {
	parts, from := [][]*driver.Launch{l.weights}, 0
	for _, until := range l.until {
		parts = append(parts, l.launches[from:until])
		from = until
	}
	return parts
}

// timed runs the parts once with an event before and after each.
func (l *loaded) timed(parts [][]*driver.Launch, events []driver.Event) error {
	if err := l.d.stream.Record(events[0]); err != nil {
		return err
	}
	for t, part := range parts {
		for _, launch := range part {
			if err := l.d.stream.Launch(launch); err != nil {
				return err
			}
		}
		if err := l.d.stream.Record(events[t+1]); err != nil {
			return err
		}
	}
	return l.d.stream.Sync()
}
