package pipelines

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"noisystudent/io/nifti"
	"noisystudent/transforms/cases"
)

// headerReaders is how many headers are read at once: a bucket answers in tens of
// milliseconds.
const headerReaders = 16

// headerNotes tells people what they should know about the headers of cases that
// this run did, one line a kind of note.
func (r *run) headerNotes(ctx context.Context, o outcome) {
	byNote := map[string][]string{}
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, headerReaders)
	for _, c := range o.good {
		if !o.fresh[c.ID] || r.noted[c.Image] {
			continue
		}
		r.noted[c.Image] = true
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			note, known := r.notes[c.Image]
			if !known {
				note = headerNote(ctx, c)
			}
			if note != "" {
				mu.Lock()
				defer mu.Unlock()
				byNote[note] = append(byNote[note], c.ID)
			}
		})
	}
	group.Wait()
	for _, note := range slices.Sorted(maps.Keys(byNote)) {
		slices.Sort(byNote[note])
		r.progress.Note(fmt.Sprintf("header of %s: %s", some(byNote[note]), note))
	}
}

// headerNote reads one header again; the case was read whole a moment ago, so that
// what is wrong now is not worth a word.
func headerNote(ctx context.Context, c cases.Case) string {
	_, frame, err := cases.ReadHeader(ctx, c, nifti.RAS)
	if err != nil {
		return ""
	}
	return frame.Note
}

// some lists a few ids and counts the rest.
func some(ids []string) string {
	const shown = 5
	if len(ids) <= shown {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:shown], ", "), len(ids)-shown)
}
