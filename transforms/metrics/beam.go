package metrics

import (
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/model/engine"
)

// cards is engine.Cards but for tests.
var cards = engine.Cards

// Devices reports to Beam what computes the networks of a transform.
type Devices struct {
	transform     string
	memory, usage beam.Distribution
	elements      map[string]beam.Counter // by the name of the device
}

// NewDevices returns the counters of a transform.
func NewDevices(transform string) Devices {
	return Devices{
		transform: transform, memory: beam.NewDistribution(transform, CardBytes), usage: beam.NewDistribution(transform, CardPercent),
		elements: map[string]beam.Counter{},
	}
}

// Report counts an element under the device that On has noted, if any, and tells of this
// worker's cards how much memory its networks have taken at the most and, where the
// driver's library says it, how busy they are.
func (d Devices) Report(ctx context.Context) {
	w := of(ctx)
	if w == nil {
		return
	}
	name, _ := w.device.Load().(string)
	if name == "" {
		return
	}
	c, ok := d.elements[name]
	if !ok {
		c = beam.NewCounter(d.transform, Device+"."+name)
		d.elements[name] = c
	}
	c.Inc(ctx, 1)
	for _, use := range cards() {
		d.memory.Update(ctx, use.Peak)
		if use.Busy >= 0 {
			d.usage.Update(ctx, int64(use.Busy))
		}
	}
}
