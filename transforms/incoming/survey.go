package incoming

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

// Options say what is looked at and what there is to be done.
type Options struct {
	Input  string        // address of scans, see cases.Scans
	Output string        // where copies of the labels go; empty: nowhere
	Settle time.Duration // between two looks at a file that is new or has changed
	Newest string        // digest of the model that labels now
	Policy Policy
}

// Group is one scan that is to be labelled, under all the names that it came by.
type Group struct {
	Scans  []Scan
	Source string // case of the same scan that may be labelled already; empty: none
	Copy   bool   // the labels are there, only their copies are not
}

// Survey is what a look has found.
type Survey struct {
	Groups   []Group
	Seen     int              // scans that are there
	UpToDate int              // of them, that need nothing
	Waiting  []string         // of them, that are still being written
	Removed  []string         // cases whose files have gone, now or before
	Refused  []cases.Rejected // files by which no case can be named
	Rejected []cases.Rejected // scans that were refused before and are not tried again
}

// Cases counts the scans of all groups.
func (s Survey) Cases() (n int) {
	for _, g := range s.Groups {
		n += len(g.Scans)
	}
	return n
}

// Look compares a place with the book, brings the book up to date, and says what is to
// be labelled. It waits once, for Settle, where it finds anything new.
func Look(ctx context.Context, st *store.Store, o Options) (Survey, error) {
	b, err := openBook(ctx, st, o)
	if err != nil {
		return Survey{}, err
	}
	first, err := cases.List(ctx, o.Input)
	if err != nil {
		return Survey{}, err
	}
	second := first
	if b.news(first) && o.Settle > 0 {
		select {
		case <-ctx.Done():
			return Survey{}, ctx.Err()
		case <-time.After(o.Settle):
		}
		if second, err = cases.List(ctx, o.Input); err != nil {
			return Survey{}, err
		}
	}
	return b.compare(ctx, first, second)
}

// book is the ledger's rows while they are compared with a place.
type book struct {
	Options
	st      *store.Store
	rows    map[string]Scan
	refused map[string]bool // cases and files of the last look
	stale   func(model string) bool
	made    map[string]bool // keys of predictions
	copies  map[string]bool // names in Output
	survey  Survey
}

func openBook(ctx context.Context, st *store.Store, o Options) (*book, error) {
	b := &book{Options: o, st: st, refused: map[string]bool{}, made: map[string]bool{}, copies: map[string]bool{}}
	met, err := readAges(ctx, st)
	if err != nil {
		return nil, err
	}
	if b.stale, err = o.Policy.stale(met, o.Newest); err != nil {
		return nil, err
	}
	if b.rows, err = Rows(ctx, st); err != nil {
		return nil, err
	}
	refused, err := manifest.Rows(ctx, st, Refusals)
	if err != nil {
		return nil, err
	}
	for id, row := range refused {
		b.refused[id], b.refused[row.File] = true, true
	}
	if err := keysInto(ctx, b.made, st, "predictions/"); err != nil || o.Output == "" {
		return b, err
	}
	out, err := store.Open(ctx, o.Output)
	if err != nil {
		return nil, err
	}
	return b, keysInto(ctx, b.copies, out, "")
}

func keysInto(ctx context.Context, set map[string]bool, st *store.Store, prefix string) error {
	infos, err := st.List(ctx, prefix)
	for _, i := range infos {
		set[i.Key] = true
	}
	return err
}

// news reports whether a listing holds a file that the book does not know as it is.
func (b *book) news(l cases.Listing) bool {
	for _, c := range l.Cases {
		if s := b.rows[c.ID]; !s.is(c.Image, l.Files[c.Image]) || s.Outcome == Waiting {
			return true
		}
	}
	for _, x := range l.Rejected {
		if !b.refused[x.Case] && !b.refused[x.File] {
			return true
		}
	}
	return false
}

// compare goes through what two looks have found.
func (b *book) compare(ctx context.Context, first, second cases.Listing) (Survey, error) {
	b.survey.Seen = len(second.Cases)
	still := func(address string) bool { return same(first.Files[address], second.Files[address]) }
	var whole []Scan
	here := map[string]bool{}
	for _, c := range second.Cases {
		here[c.ID] = true
		s, info := b.rows[c.ID], second.Files[c.Image]
		foreign, err := b.foreign(ctx, s, c)
		known := s.is(c.Image, info) && s.Outcome != Waiting
		back := known && s.Removed
		switch {
		case err != nil:
			return Survey{}, err
		case foreign:
			b.refuse(c, s)
			continue
		case known && !back:
			continue
		case !known && still(c.Image):
			s.seen(c, info)
			whole = append(whole, s)
			continue
		case !known:
			s.Outcome = Waiting
		}
		s.seen(c, info)
		if err := Record(ctx, b.st, s); err != nil {
			return Survey{}, err
		}
		b.rows[c.ID] = s
	}
	for _, x := range second.Rejected {
		here[x.Case] = true
		if still(x.File) {
			x.Stage = Refusals
			b.survey.Refused = append(b.survey.Refused, x)
		} else {
			b.survey.Waiting = append(b.survey.Waiting, x.Case)
		}
	}
	if err := cmp.Or(b.settle(ctx, whole), b.missing(ctx, here)); err != nil {
		return Survey{}, err
	}
	b.group(second)
	return b.survey, nil
}

func same(a, b store.Info) bool {
	return a.Size == b.Size && a.Generation == b.Generation && a.ModTime.Equal(b.ModTime)
}

// foreign reports whether an id belongs to another file, which is still there.
func (b *book) foreign(ctx context.Context, old Scan, c cases.Case) (bool, error) {
	if old.Address == "" || old.Address == c.Image || old.Removed {
		return false, nil
	}
	return exists(ctx, old.Address)
}

func (b *book) refuse(c cases.Case, old Scan) {
	x, _ := cases.Reject(c.ID, Refusals, &cases.Fault{
		Kind: cases.DuplicateCase, File: c.Image, Remedy: "rename the file, or use another --store",
		Err: fmt.Errorf("the store knows %s by this name", old.Address),
	})
	b.survey.Refused = append(b.survey.Refused, x)
}

func exists(ctx context.Context, address string) (bool, error) {
	if _, _, series := dicom.Cut(address); series {
		return dicom.Exists(ctx, address)
	}
	root, key, err := store.Split(address)
	if err != nil {
		return false, err
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return false, err
	}
	_, err = st.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readers is how many files are read at once for their digests.
const readers = 8

// settle reads the digests of files that are whole.
func (b *book) settle(ctx context.Context, whole []Scan) error {
	return b.each(whole, readers, func(s Scan) (Scan, error) {
		input, err := manifest.InputDigest(ctx, b.st, s.Of())
		var fault *cases.Fault
		switch {
		case errors.As(err, &fault):
			s.Outcome, s.Reason, s.File, s.Message = manifest.Rejected, fault.Kind, fault.File, fault.Error()
		case err != nil:
			return s, err
		default:
			s.settle(input)
		}
		return s, Record(ctx, b.st, s)
	})
}

// missing marks the scans whose files have gone. Their labels stay.
func (b *book) missing(ctx context.Context, here map[string]bool) error {
	var absent []Scan
	for id, s := range b.rows {
		if !here[id] && !s.Removed {
			absent = append(absent, s)
		}
	}
	err := b.each(absent, 4*readers, func(s Scan) (Scan, error) {
		there, err := exists(ctx, s.Address) // in a place that this look was not at
		if err != nil || there {
			return s, nil // who cannot be asked is not marked
		}
		s.Removed = true
		return s, Record(ctx, b.st, s)
	})
	for id, s := range b.rows {
		if s.Removed && !here[id] {
			b.survey.Removed = append(b.survey.Removed, id)
		}
	}
	return err
}

// each changes scans of the book, so many at once.
func (b *book) each(list []Scan, at int, change func(Scan) (Scan, error)) error {
	var mu sync.Mutex
	var group sync.WaitGroup
	var first error
	slots := make(chan struct{}, at)
	for _, s := range list {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			s, err := change(s)
			mu.Lock()
			defer mu.Unlock()
			b.rows[s.Case], first = s, cmp.Or(first, err)
		})
	}
	group.Wait()
	return first
}
