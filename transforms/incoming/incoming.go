// Package incoming keeps book of the scans that arrive in a place: which of them are
// new or changed, which are still being written, which are one scan under two names,
// and which have gone.
//
// The one idea: a scan's row, ledger/reprocess/<case>.json, holds its file as it was
// when it was last looked at (size, generation, time) beside how it was labelled last
// (see manifest.Row). Whoever looks again, on whatever host and after whatever crash,
// compares the place with the rows; no runner's state is asked.
//
// A file is believed to be whole once two looks, Settle apart by the clock of the one
// who looks, found the same size, generation and time. Files whose names begin with a
// dot or end in .part, as rsync and browsers write them, are no scans yet.
package incoming

import (
	"context"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

// Stage is the ledger's name of the book, Refusals that of files which are refused by
// their names.
const (
	Stage    = "reprocess"
	Refusals = "incoming"
)

// Outcomes of rows beside manifest's: the file is still being written, or it is whole
// and not labelled yet.
const (
	Waiting manifest.Outcome = "waiting"
	Pending manifest.Outcome = "pending"
)

// Scan is a row of the book. Its Input is the digest of the file, its Model how it was
// labelled last: the digest that names the predictions' folder, of weights, plan and
// the transform's version.
type Scan struct {
	manifest.Row
	Address    string    `json:"address"`
	Size       int64     `json:"size"`
	Generation int64     `json:"generation"`
	ModTime    time.Time `json:"mod_time"`
	Removed    bool      `json:"removed,omitempty"` // the file has gone; what was made of it stays
}

// is reports whether the row is of the file as it is now.
func (s Scan) is(address string, info store.Info) bool {
	return s.Address == address && s.Size == info.Size && s.Generation == info.Generation && s.ModTime.Equal(info.ModTime)
}

// seen takes down how the file is now.
func (s *Scan) seen(c cases.Case, info store.Info) {
	s.Stage, s.Case, s.Removed = Stage, c.ID, false
	s.Address, s.Size, s.Generation, s.ModTime = c.Image, info.Size, info.Generation, info.ModTime.UTC()
}

// settle takes down the digest of a file that is whole. Where it is the one that was
// labelled or refused before, that still holds.
func (s *Scan) settle(input string) {
	switch {
	case s.Input != input || s.Model == "":
		s.Row = manifest.Row{Stage: Stage, Case: s.Case, Input: input, Outcome: Pending}
	case s.Reason != "":
		s.Outcome = manifest.Rejected
	default:
		s.Outcome = manifest.Done
	}
}

// Of is the scan as an element of a pipeline.
func (s Scan) Of() cases.Case {
	return cases.Case{ID: s.Case, Set: cases.Unlabelled, Image: s.Address}
}

// Labelled takes down how a scan was labelled or refused.
func (s Scan) Labelled(row manifest.Row) Scan {
	row.Stage = Stage
	if row.Input == "" { // it could not be read for a digest
		row.Input = s.Input
	}
	s.Row = row
	return s
}

// Rows returns the whole book, by case.
func Rows(ctx context.Context, st *store.Store) (map[string]Scan, error) {
	return manifest.All[Scan](ctx, st, Stage)
}

// Record writes a row of the book.
func Record(ctx context.Context, st *store.Store, s Scan) error {
	return manifest.Put(ctx, st, Stage, s.Case, s)
}
