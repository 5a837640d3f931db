package engine

import (
	"noisystudent/model/cuda"
)

// Elsewhere opens what is known of a device of other machines, none of which need be
// here: its layout. The engine can Place, and tell Name and Reduced; that is for plans.
// auto is the CPU, which takes more of a machine's memory: there may be no card.
func Elsewhere(o Options) (*Engine, error) {
	kind, _, err := parse(o.Device)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "cuda":
		return On(elsewhere{&cuda.Device{}}), nil
	case auto:
		o.Device = "cpu"
	}
	return Open(o)
}

// elsewhere is any card.
type elsewhere struct{ *cuda.Device }

func (elsewhere) Name() string         { return "a card elsewhere" }
func (elsewhere) Free() (int64, error) { return 0, nil }
func (elsewhere) Close() error         { return nil }
