package pseudo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// Rule says which pseudo-labels a student learns from, see plan.Pseudo, whose fields it
// has. The zero value keeps all.
type Rule struct {
	MinConfidence      float64 `json:"min_confidence"`
	DropPart           float64 `json:"drop_part,omitempty"`
	MaxDoubt           float64 `json:"max_doubt,omitempty"`
	MaxDeviation       float64 `json:"max_deviation,omitempty"`
	MaxChange          float64 `json:"max_change,omitempty"`
	MinOrgans          float64 `json:"min_organs,omitempty"`
	MinVoxelConfidence float64 `json:"min_voxel_confidence,omitempty"`
	WeighVoxels        bool    `json:"weigh_voxels,omitempty"`
	Soft               bool    `json:"soft,omitempty"`
	MoreRounds         int     `json:"more_rounds,omitempty"`
}

// Selection is the outcome of a rule, by case: pseudo/<round>/selection.json.
type Selection struct {
	Rule    Rule     `json:"rule"`
	Kept    []string `json:"kept"`
	Dropped []string `json:"dropped"`
	// Why says what a dropped case lacks.
	Why map[string]string `json:"why,omitempty"`
	// Organs are those that a teacher sees in some case, where the rule looks at organs.
	Organs []Choice `json:"organs,omitempty"`
}

// Choice is what becomes of an organ of a case.
type Choice struct {
	Case      string  `json:"case"`
	Label     int     `json:"label"`
	Agreement float64 `json:"agreement"`
	Entropy   float64 `json:"entropy"`
	Doubt     float64 `json:"doubt"`
	Deviation float64 `json:"deviation,omitempty"` // see deviations; 0 where no rule asks
	Change    float64 `json:"change,omitempty"`    // since the round before, 0 to 1
	Why       string  `json:"left_out,omitempty"`  // empty: it is kept
}

// Select applies a rule to the notes of a round and, where it looks at organs, to their
// doubts, which are as many. Lists are ascending by case.
func Select(notes []Note, doubts []Doubts, rule Rule) Selection {
	s := Selection{Rule: rule, Kept: []string{}, Dropped: []string{}}
	if plan.Pseudo(rule).ByOrgan() {
		s.chooseOrgans(notes, doubts)
	}
	for _, n := range notes {
		if why := s.against(n); why == "" {
			s.Kept = append(s.Kept, n.Case)
		} else {
			s.Dropped = append(s.Dropped, n.Case)
			if s.Why == nil {
				s.Why = map[string]string{}
			}
			s.Why[n.Case] = why
		}
	}
	slices.Sort(s.Kept)
	slices.Sort(s.Dropped)
	return s
}

// chooseOrgans goes through the organs, of each the most doubted case first.
func (s *Selection) chooseOrgans(notes []Note, doubts []Doubts) {
	var unusual [][]float64
	if s.Rule.MaxDeviation > 0 {
		unusual = deviations(notes, doubts)
	}
	for label := 1; len(doubts) > 0 && label < len(doubts[0].Agreement); label++ {
		var list []Choice
		for i, d := range doubts {
			if notes[i].Voxels[label] > 0 || d.Agreement[label] < 1 {
				c := Choice{Case: d.Case, Label: label, Agreement: d.Agreement[label], Entropy: d.Entropy[label], Doubt: d.Of(label)}
				if unusual != nil {
					c.Deviation = unusual[i][label]
				}
				if d.Changes != nil {
					c.Change = d.Changes[label]
				}
				list = append(list, c)
			}
		}
		slices.SortFunc(list, func(a, b Choice) int { return cmp.Or(cmp.Compare(b.Doubt, a.Doubt), cmp.Compare(a.Case, b.Case)) })
		most := int(s.Rule.DropPart * float64(len(list)))
		for i := range list {
			switch c := &list[i]; {
			case i < most:
				c.Why = fmt.Sprintf("among the %d of %d cases in which it is doubted most", most, len(list))
			case s.Rule.MaxDoubt > 0 && c.Doubt > s.Rule.MaxDoubt:
				c.Why = fmt.Sprintf("doubted by %.3f, more than %g", c.Doubt, s.Rule.MaxDoubt)
			case s.Rule.MaxDeviation > 0 && c.Deviation > s.Rule.MaxDeviation:
				c.Why = fmt.Sprintf("size or place %.1f standard deviations from the usual, more than %g", c.Deviation, s.Rule.MaxDeviation)
			case s.Rule.MaxChange > 0 && c.Change > s.Rule.MaxChange:
				c.Why = fmt.Sprintf("%.3f of it changed since the round before, more than %g", c.Change, s.Rule.MaxChange)
			}
		}
		s.Organs = append(s.Organs, list...)
	}
	slices.SortStableFunc(s.Organs, func(a, b Choice) int { return cmp.Compare(a.Case, b.Case) })
}

// against says what speaks against a case; empty: nothing.
func (s *Selection) against(n Note) string {
	if n.Confidence < s.Rule.MinConfidence {
		return fmt.Sprintf("confidence %.3f, under %g", n.Confidence, s.Rule.MinConfidence)
	}
	seen, left := 0, 0
	for _, c := range s.Organs {
		if c.Case == n.Case {
			seen++
			if c.Why == "" {
				left++
			}
		}
	}
	if float64(left) < s.Rule.MinOrgans*float64(seen) {
		return fmt.Sprintf("%d of its %d organs are left, under a part of %g", left, seen, s.Rule.MinOrgans)
	}
	return ""
}

// LeftOut are the labels of a case that a student is not to learn from.
func (s Selection) LeftOut(id string) (labels []uint8) {
	for _, c := range s.Organs {
		if c.Case == id && c.Why != "" {
			labels = append(labels, uint8(c.Label))
		}
	}
	return labels
}

// CSV lists every case and organ with its fate and the reason, for people.
func (s Selection) CSV(labels []cases.Label) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"case", "organ", "kept", "agreement", "entropy", "doubt", "deviation", "change", "reason"})
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	for _, id := range slices.Sorted(slices.Values(slices.Concat(s.Kept, s.Dropped))) {
		w.Write([]string{id, "", strconv.FormatBool(s.Why[id] == ""), "", "", "", "", "", s.Why[id]})
		for _, c := range s.Organs {
			if c.Case == id {
				kept := c.Why == "" && s.Why[id] == ""
				w.Write([]string{id, labels[c.Label-1].Name, strconv.FormatBool(kept), number(c.Agreement), number(c.Entropy), number(c.Doubt), number(c.Deviation), number(c.Change), c.Why})
			}
		}
	}
	w.Flush() // a buffer takes everything
	return out.Bytes()
}

// ReadNote returns the note of a case; fs.ErrNotExist where it has no pseudo-labels.
func ReadNote(ctx context.Context, st *store.Store, round int, id string) (Note, error) {
	var n Note
	data, err := st.Read(ctx, noteKey(round, id))
	if errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return n, fmt.Errorf("pseudo: read note of %s: %w", id, err)
	}
	return n, nil
}

// WriteSelection keeps the outcome where people look for it.
func WriteSelection(ctx context.Context, st *store.Store, round int, s Selection) error {
	if err := writeJSON(ctx, st, fmt.Sprintf("pseudo/%d/selection.json", round), s); err != nil {
		return fmt.Errorf("pseudo: write selection: %w", err)
	}
	return nil
}

func writeJSON(ctx context.Context, st *store.Store, key string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return st.Write(ctx, key, append(data, '\n'))
}
