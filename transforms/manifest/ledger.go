// Package manifest remembers what was made from what: the ledger.
//
// The one idea: a stage's work on a case is named by the digest of everything it
// depends on (input files, plan, model, and the version of the transform that did
// it). A row says how that work ended. Where a row with the same inputs stands, the
// work is not done again; whoever repeats a command, or a runner that retries a
// bundle, gets the same answer. The ledger gives idempotency, never Beam state.
//
// A row is one JSON object, ledger/<stage>/<case>.json, written whole or not at
// all. It is a cache of facts that can be found again: a row that is missing,
// damaged, or whose output is gone means only that the work is done once more. Beside
// the rows an index of each large stage saves reading them one by one; it is a cache, too.
package manifest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/metrics"
)

// Outcome is how a stage ended for a case.
type Outcome string

const (
	Done     Outcome = "done"
	Rejected Outcome = "rejected"
)

// Row is one line of the ledger. Input, Plan and Model are digests, empty where
// the stage does not depend on one.
type Row struct {
	Stage   string `json:"stage"`
	Case    string `json:"case"`
	Version int    `json:"version"` // of the transform: raised when its bytes change
	Input   string `json:"input"`
	Plan    string `json:"plan,omitempty"`
	Model   string `json:"model,omitempty"`

	Outcome Outcome    `json:"outcome"`
	Output  string     `json:"output,omitempty"` // key in the store of what was made, its last written object
	Digest  string     `json:"digest,omitempty"` // of the output's content, where a stage has one
	Reason  cases.Kind `json:"reason,omitempty"`
	File    string     `json:"file,omitempty"`
	Message string     `json:"message,omitempty"`
	Same    string     `json:"same,omitempty"` // case of the same scan whose output this one's is a copy of
}

// Key names the work: the digest of all that its output depends on.
func (r Row) Key() string {
	return Digest(r.Stage, r.Case, r.Version, r.Input, r.Plan, r.Model)
}

// Rejection returns the row of a refused case as an element of the rejected output.
func (r Row) Rejection() cases.Rejected {
	return cases.Rejected{Case: r.Case, Stage: r.Stage, Reason: r.Reason, File: r.File, Message: r.Message}
}

// passing are rejections that may end differently next time though the input is
// the same: they are tried again.
var passing = map[cases.Kind]bool{cases.Missing: true, cases.Unreadable: true, cases.TooLarge: true, cases.NotWritten: true}

// Passing reports whether the row is of a rejection that is tried again.
func (r Row) Passing() bool { return r.Outcome == Rejected && passing[r.Reason] }

// settles reports whether the row answers for the work that is wanted.
func (r Row) settles(wanted Row) bool {
	return r.Key() == wanted.Key() && (r.Outcome == Done || r.Outcome == Rejected && !passing[r.Reason])
}

func rowKey(stage, id string) string { return "ledger/" + stage + "/" + id + ".json" }

// caseOf is the inverse of rowKey.
func caseOf(key, stage string) (id string, ok bool) {
	name, ok := strings.CutPrefix(key, "ledger/"+stage+"/")
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(name, ".json")
	return id, ok && !strings.Contains(id, "/")
}

// Lookup returns the row of a case and stage; false where there is none that can be read.
func Lookup(ctx context.Context, st *store.Store, stage, id string) (Row, bool, error) {
	data, err := st.Read(ctx, rowKey(stage, id))
	return decode(data, err, stage, id)
}

// decode takes what reading a row's object gave.
func decode(data []byte, err error, stage, id string) (Row, bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return Row{}, false, nil
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("manifest: look up %s of %s: %w", stage, id, err)
	}
	var r Row
	if json.Unmarshal(data, &r) != nil || r.Stage != stage || r.Case != id {
		return Row{}, false, nil
	}
	return r, true, nil
}

// Record writes a row over any older one of its case and stage.
func Record(ctx context.Context, st *store.Store, r Row) error {
	return Put(ctx, st, r.Stage, r.Case, r)
}

// Once does the work of the wanted row unless the ledger has settled it, and records
// the outcome. work sets Output and Digest; a *cases.Fault that it returns becomes a
// rejected row and no error, so that the batch goes on. Any other error is returned
// and leaves the ledger as it was. The row says which it was.
func Once(ctx context.Context, st *store.Store, wanted Row, work func(*Row) error) (Row, error) {
	row, found, err := Lookup(ctx, st, wanted.Stage, wanted.Case)
	if err != nil {
		return Row{}, err
	}
	if found && row.settles(wanted) && Stands(ctx, st, row) {
		return row, nil
	}
	row = wanted
	metrics.Did(ctx)
	if err := work(&row); err != nil {
		var fault *cases.Fault
		if !errors.As(err, &fault) {
			return Row{}, err
		}
		row = wanted.rejected(fault)
	} else {
		row.Outcome = Done
	}
	return row, Record(ctx, st, row)
}

// Settle is Once for work on a case's files: it takes their digest as the wanted
// row's Input. A case whose files cannot be read for it is rejected.
func Settle(ctx context.Context, st *store.Store, c cases.Case, wanted Row, work func(*Row) error) (Row, error) {
	input, err := InputDigest(ctx, st, c)
	var fault *cases.Fault
	switch {
	case errors.As(err, &fault):
		return Reject(ctx, st, wanted, fault)
	case err != nil:
		return Row{}, err
	}
	wanted.Input = input
	return Once(ctx, st, wanted, work)
}

// Reject records that a case is refused before its work can begin, such as when
// its input cannot be read for a digest.
func Reject(ctx context.Context, st *store.Store, wanted Row, fault *cases.Fault) (Row, error) {
	row := wanted.rejected(fault)
	return row, Record(ctx, st, row)
}

func (r Row) rejected(f *cases.Fault) Row {
	r.Outcome, r.Output, r.Digest = Rejected, "", ""
	r.Reason, r.File, r.Message = f.Kind, f.File, f.Error()
	return r
}

// Stands reports whether the row's output is still there.
func Stands(ctx context.Context, st *store.Store, r Row) bool {
	if r.Output == "" {
		return true
	}
	_, err := st.Stat(ctx, r.Output)
	return err == nil
}

// readers is how many rows are read at once: a bucket answers in tens of milliseconds.
const readers = 32

// Rows returns all readable rows of a stage, by case.
func Rows(ctx context.Context, st *store.Store, stage string) (map[string]Row, error) {
	rows, err := All[Row](ctx, st, stage)
	maps.DeleteFunc(rows, func(id string, r Row) bool { return r.Stage != stage || r.Case != id })
	return rows, err
}

// All returns the objects ledger/<stage>/<case>.json as values of any type, by case.
// Those that cannot be decoded are left out.
func All[T any](ctx context.Context, st *store.Store, stage string) (map[string]T, error) {
	infos, err := st.List(ctx, "ledger/"+stage+"/")
	if err != nil {
		return nil, fmt.Errorf("manifest: rows of %s: %w", stage, err)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var first error
	rows := map[string]T{}
	index := openIndex(ctx, st, stage, len(infos))
	slots := make(chan struct{}, readers)
	for _, info := range infos {
		id, ok := caseOf(info.Key, stage)
		if !ok {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			data, err := index.object(ctx, info)
			var row T
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, fs.ErrNotExist): // it went meanwhile
			case err != nil:
				first = cmp.Or(first, fmt.Errorf("manifest: rows of %s: %w", stage, err))
			case json.Unmarshal(data, &row) == nil:
				rows[id] = row
			}
		})
	}
	group.Wait()
	index.save(ctx)
	return rows, first
}

// Put writes a value as ledger/<stage>/<case>.json; Record is Put for a Row.
func Put(ctx context.Context, st *store.Store, stage, id string, v any) error {
	data, err := Encode(v)
	if err == nil {
		err = st.WriteCache(ctx, rowKey(stage, id), data)
	}
	if err != nil {
		return fmt.Errorf("manifest: record %s of %s: %w", stage, id, err)
	}
	return nil
}
