package pipelines

import (
	"errors"
	"fmt"
	"sort"

	"noisystudent/transforms/plan"
)

// errNoRoom is share's error of a network that the memory does not hold.
var errNoRoom = errors.New("the memory does not hold it")

// hold tells whether a network may be loaded: on a card whatever is free there, which is not
// known of a card elsewhere; of the machine's memory four thirds of the budget is what it may reach, for a quarter is kept
// for cases that may be few and small.
func (n networks) hold(network, budget int64) bool {
	if n.onCard {
		return n.card == 0 || network <= n.card
	}
	return network <= budget/3*4
}

// noRoom explains errNoRoom with what would fit; what is the program's name and need
// its memory. Other errors it returns as they are.
func (r *run) noRoom(err error, what string, need func(networks) int64) error {
	if !errors.Is(err, errNoRoom) {
		return err
	}
	room, remedy := r.memory(), "give --memory more"
	if r.networks.card > 0 {
		room, remedy = r.networks.card, "use --device cpu, or end what else is on "+r.networks.device
	}
	if settings := r.smaller(need); settings != "" {
		remedy += ", or plan what fits: --replan " + settings
	}
	return fmt.Errorf("pipelines: %s of this plan takes %d MiB and %d MiB may be used; %s", what, need(r.networks)>>20, room>>20, remedy)
}

// smaller returns the settings of the largest batch that the memory holds or, where
// not even one element fits, of the largest patch; empty where nothing does. The plan's
// own network is placed: planned anew for a smaller patch it would not be deeper.
func (r *run) smaller(need func(networks) int64) string {
	fits := func(batch int, patch [3]int) bool {
		p := r.plan
		p.BatchSize, p.PatchSize = batch, patch
		n, err := measure(p, r.Options)
		return err == nil && n.hold(need(n), r.memory())
	}
	batch, patch := r.plan.BatchSize, r.plan.PatchSize
	if batch > 1 && fits(1, patch) {
		less := 1 + sort.Search(batch-2, func(i int) bool { return fits(batch-1-i, patch) })
		return fmt.Sprintf("--set batch_size=%d", batch-less)
	}
	patches := smallerPatches(r.plan)
	i := sort.Search(len(patches), func(i int) bool { return fits(1, patches[i]) })
	if i == len(patches) {
		return ""
	}
	settings := fmt.Sprintf("--set patch_size=%d,%d,%d", patches[i][0], patches[i][1], patches[i][2])
	if !fits(batch, patches[i]) {
		settings += " --set batch_size=1"
	}
	return settings
}

// smallerPatches lists patches of a plan's network, each shorter than the one before
// along the axis where that costs the smallest part.
func smallerPatches(p plan.Plan) (list [][3]int) {
	by := p.Network.Divisor()
	for {
		axis := 0
		for a := range by {
			if p.PatchSize[a]/by[a] > p.PatchSize[axis]/by[axis] {
				axis = a
			}
		}
		p.PatchSize[axis] -= by[axis]
		if p.PatchSize[axis] == 0 || p.Check() != nil {
			return list
		}
		list = append(list, p.PatchSize)
	}
}
