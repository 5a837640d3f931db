package pseudo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"noisystudent/io/store"
)

// Rule says which pseudo-labels a student learns from. The zero value keeps all.
type Rule struct {
	MinConfidence float64 `json:"min_confidence"`
}

// Selection is the outcome of a rule, by case: pseudo/<round>/selection.json.
type Selection struct {
	Rule    Rule     `json:"rule"`
	Kept    []string `json:"kept"`
	Dropped []string `json:"dropped"`
}

// Select applies a rule to the notes of a round; both lists are ascending.
func Select(notes []Note, rule Rule) Selection {
	s := Selection{Rule: rule, Kept: []string{}, Dropped: []string{}}
	for _, n := range notes {
		if n.Confidence >= rule.MinConfidence {
			s.Kept = append(s.Kept, n.Case)
		} else {
			s.Dropped = append(s.Dropped, n.Case)
		}
	}
	slices.Sort(s.Kept)
	slices.Sort(s.Dropped)
	return s
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
