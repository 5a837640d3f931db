// Package score compares predicted labels with a reference: Dice (DSC) and
// normalised surface Dice (NSD) per organ, by FLARE's or nnU-Net's rules.
//
// DSC is 2|A and B| / (|A| + |B|). NSD is the part of both surfaces that lies
// within a tolerance in mm of the other surface, both ways, by area (Nikolov et
// al. 2018, arXiv:1809.04430). It equals DeepMind's surface-distance 0.1 and
// FLARE's SurfaceDice.py: a surface element at every voxel corner whose eight
// neighbours differ, its area from the marching-cubes triangles of that
// neighbourhood, distances from element to element.
//
// The idea: masks are bits. A class is cut to the box around its reference and
// prediction, its surface comes from and/or/shift of rows, and "within the
// tolerance" is a look for set bits in the rows in reach, not a distance
// transform of the volume.
//
// Labels are read in the file's own axis order (nifti orientation "stored"), z
// being the file's third axis: FLARE's rule for tubular organs counts slices along
// it. Spacing is in mm in the same order. Nothing given to this package is
// changed or kept.
//
// Ignored voxels (dataset.json's ignore label in the reference) are removed from
// both masks before anything is counted, and the row says so.
package score

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// version changes when the numbers or the form of a row change.
const version = 2

// Options says what to score and how; Labels are required.
type Options struct {
	Rules       Rules              // empty: FLARE22
	Labels      []cases.Label      // foreground classes, in the order of the table
	Ignore      int                // value of the ignore label; 0 or less: none
	ToleranceMM map[string]float64 // by organ name; absent: ToleranceMM(name)
	// KeepLargest scores the largest piece of each predicted organ alone.
	KeepLargest bool `json:",omitempty"`
}

func (o Options) toleranceMM(name string) float64 {
	if t, ok := o.ToleranceMM[name]; ok {
		return t
	}
	return ToleranceMM(name)
}

func (o Options) validate() error {
	_, err := ParseRules(string(o.Rules))
	if len(o.Labels) == 0 {
		err = errors.Join(err, errors.New("score: no labels to score"))
	}
	for _, l := range o.Labels {
		if l.ID < 1 || l.ID > 255 || l.ID == o.Ignore {
			err = errors.Join(err, fmt.Errorf("score: label %d (%s) cannot be scored", l.ID, l.Name))
		}
		if t := o.toleranceMM(l.Name); !(t >= 0 && t < 1e4) {
			err = errors.Join(err, fmt.Errorf("score: tolerance of %s is %g mm", l.Name, t))
		}
	}
	return err
}

// Organ is the score of one class in one case.
type Organ struct {
	Label       int     `json:"label"`
	Name        string  `json:"name"`
	ToleranceMM float64 `json:"tolerance_mm"`
	// Scored is false where the rules give no score (NNUNet, absent in both).
	Scored   bool    `json:"scored"`
	DSC      float64 `json:"dsc"` // 0..1, not rounded
	NSD      float64 `json:"nsd"`
	OneSlice bool    `json:"one_slice,omitempty"` // FLARE's script fails here: scored on the one slice
	Voxels   Voxels  `json:"voxels"`              // of the whole volume, whatever the rules
	// OtherSide counts the reference's voxels that are predicted as the same organ of the
	// patient's other side; of paired organs only (see cases.Pairs).
	OtherSide int64 `json:"other_side_voxels,omitempty"`
	Paired    bool  `json:"paired,omitempty"`
}

// Row is the scores of one case.
type Row struct {
	Case       string  `json:"case"`
	Reference  string  `json:"reference_file"`
	Prediction string  `json:"prediction_file"`
	Rules      Rules   `json:"rules"`
	Ignored    int64   `json:"ignored_voxels"` // left out of both masks
	Organs     []Organ `json:"organs"`
}

// GridError says that a prediction does not lie on its reference's grid.
type GridError struct{ Reference, Prediction volume.Geometry }

func (e *GridError) Error() string {
	p, r := e.Prediction, e.Reference
	return fmt.Sprintf("score: the prediction has %v from %.4g, the reference %v from %.4g", p, p.Origin, r, r.Origin)
}

// gridToleranceMM is how far corners of the two grids may lie apart.
const gridToleranceMM = 0.1

// Case scores one prediction. The two must share shape and place in the world
// (*GridError else).
func Case(ref, pred *volume.Labels, o Options) (Row, error) {
	if err := o.validate(); err != nil {
		return Row{}, err
	}
	if !ref.SameGrid(pred.Geometry, gridToleranceMM) || len(ref.Data) != ref.Voxels() || len(pred.Data) != ref.Voxels() {
		return Row{}, &GridError{ref.Geometry, pred.Geometry}
	}
	g := grid{ref: ref.Data, pred: pred.Data, shape: ref.Shape, ignore: -1}
	if o.Ignore > 0 {
		g.ignore = o.Ignore
	}
	c := count(g)
	o.Rules, _ = ParseRules(string(o.Rules))
	row := Row{Rules: o.Rules, Organs: make([]Organ, len(o.Labels))}
	if g.ignore > 0 {
		for _, n := range c.joint[g.ignore] {
			row.Ignored += n
		}
	}
	parallel(len(o.Labels), func(i int) { row.Organs[i] = organScore(g, c, o.Labels[i], ref.Spacing, o) })
	row.sides(c, o.Labels)
	return row, nil
}

// organScore applies the rules to one class.
func organScore(g grid, c *counts, l cases.Label, spacing [3]float64, o Options) Organ {
	s := Organ{Label: l.ID, Name: l.Name, ToleranceMM: o.toleranceMM(l.Name), Scored: true, Voxels: c.voxels(uint8(l.ID), g.ignore)}
	inRef, inPred := s.Voxels.Reference() > 0, s.Voxels.Predicted() > 0
	switch {
	case !inRef && !inPred:
		s.Scored = o.Rules.flare()
		if s.Scored {
			s.DSC, s.NSD = 1, 1
		}
		return s
	case !inRef || !inPred:
		return s
	}
	b := union(c.ref[l.ID], c.pred[l.ID])
	if o.Rules.flare() && organOf(l.Name).tubular {
		b, s.OneSlice = slicesOf(b, c.ref[l.ID])
	}
	ref, pred := maskOf(g, g.ref, uint8(l.ID), b), maskOf(g, g.pred, uint8(l.ID), b)
	s.DSC = 2 * float64(ref.both(pred)) / float64(ref.volume()+pred.volume())
	if o.Rules == FLARE2024 && s.DSC < 0.2 {
		return s
	}
	s.NSD = surfaceDSC(ref, pred, spacing, s.ToleranceMM)
	return s
}

// sides counts the voxels of paired organs that are predicted as their twin.
func (r *Row) sides(c *counts, labels []cases.Label) {
	twin := map[int]int{}
	for _, p := range cases.Pairs(labels) {
		twin[p[0]], twin[p[1]] = p[1], p[0]
	}
	for i := range r.Organs {
		o := &r.Organs[i]
		if other, paired := twin[o.Label]; paired {
			o.Paired, o.OtherSide = true, c.joint[o.Label][other]
		}
	}
}

// slicesOf cuts b to the slices that FLARE's script scores: [lowest, highest) of
// the reference, so that the highest is left out. A reference of one slice would
// leave nothing (the script fails); it keeps its slice.
func slicesOf(b, ref volume.Box) (volume.Box, bool) {
	one := ref.Hi[0]-ref.Lo[0] == 1
	b.Lo[0], b.Hi[0] = ref.Lo[0], ref.Hi[0]-1
	if one {
		b.Hi[0] = ref.Hi[0]
	}
	return b, one
}

// parallel runs f(0..n-1) on as many goroutines as there are processors.
func parallel(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
