package incoming

import (
	"cmp"
	"maps"
	"slices"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

// group sorts the scans that are there by what is to be done with them.
func (b *book) group(l cases.Listing) {
	todo := map[string]*Group{}
	for _, c := range l.Cases {
		s := b.rows[c.ID]
		switch n := b.need(s); {
		case s.Address != c.Image: // refused
		case s.Outcome == Waiting:
			b.survey.Waiting = append(b.survey.Waiting, c.ID)
		case n == nothing && s.Outcome == manifest.Rejected:
			b.survey.Rejected = append(b.survey.Rejected, s.Rejection())
		case n == nothing:
			b.survey.UpToDate++
		case n == copies:
			b.survey.Groups = append(b.survey.Groups, Group{Scans: []Scan{s}, Copy: true})
		default:
			key := cmp.Or(s.Input, s.Case)
			if todo[key] == nil {
				todo[key] = &Group{}
			}
			todo[key].Scans = append(todo[key].Scans, s)
		}
	}
	sources := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(b.rows)) {
		if s := b.rows[id]; s.Outcome == manifest.Done && s.Same == "" && sources[s.Input] == "" {
			sources[s.Input] = id
		}
	}
	for _, input := range slices.Sorted(maps.Keys(todo)) {
		g := todo[input]
		slices.SortStableFunc(g.Scans, func(a, b Scan) int { // the one that is not a copy first
			return cmp.Or(cmp.Compare(a.Same, b.Same), cmp.Compare(a.Case, b.Case))
		})
		if g.Source = sources[input]; slices.ContainsFunc(g.Scans, func(s Scan) bool { return s.Case == g.Source }) {
			g.Source = "" // it is to be labelled itself
		}
		b.survey.Groups = append(b.survey.Groups, *g)
	}
	slices.Sort(b.survey.Waiting)
	slices.Sort(b.survey.Removed)
}

// need is what is to be done with a scan.
type need int

const (
	nothing need = iota
	labels
	copies
)

func (b *book) need(s Scan) need {
	switch {
	case s.Outcome == Pending || s.Passing():
		return labels
	case s.Outcome == manifest.Rejected && b.stale(s.Model):
		return labels
	case s.Outcome != manifest.Done:
		return nothing
	case b.stale(s.Model) || !b.made[s.Output]:
		return labels
	case b.Output != "" && !b.copies[s.Case+".nii.gz"]:
		return copies
	}
	return nothing
}
