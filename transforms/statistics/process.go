package statistics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
)

// Config is a measuring of many scans: what Cases and Report do.
type Config struct {
	Store  string        // root of the store
	Name   string        // of this measuring: rows lie under statistics/<name>/, the report under report/statistics/<name>/
	Labels []cases.Label // the organs
	Ignore int           // value of the ignore label, or -1
	// Reference is the name of the measuring of labelled scans that flags compare with;
	// empty: flags that need none.
	Reference string
	// Certainty is where <case>.json says, as predict.Took does, how sure the models were of
	// each label; empty: nowhere.
	Certainty string `json:",omitempty"`
	// BudgetBytes is the memory for all scans in work in one process; 0: memory.Budget.
	BudgetBytes int64
}

// Check says what makes the configuration unusable.
func (c Config) Check() error {
	if err := cases.CheckID(c.Name); err != nil {
		return fmt.Errorf("statistics: name: %w", err)
	}
	if len(c.Labels) == 0 {
		return errors.New("statistics: no organs to measure")
	}
	return nil
}

// Stage names the measuring in the ledger.
func (c Config) Stage() string { return "statistics-" + c.Name }

// scheme is what label files may hold.
func (c Config) scheme() cases.Scheme {
	s := cases.Scheme{Ignore: c.Ignore}
	for _, l := range c.Labels {
		s.Classes = max(s.Classes, l.ID+1)
	}
	return s
}

// Process measures one scan and stores its row, unless the ledger says that it is
// done. A scan that cannot be measured is a rejected ledger row and no error; its Row
// is then empty.
func Process(ctx context.Context, st *store.Store, c Config, scan cases.Case) (Row, manifest.Row, error) {
	if err := c.Check(); err != nil {
		return Row{}, manifest.Row{}, err
	}
	scan.Set = cases.Labelled // so that the labels are part of the input
	wanted := manifest.Row{Stage: c.Stage(), Case: scan.ID, Version: version, Plan: manifest.Digest(c.Labels, c.Ignore)}
	return manifest.Value(ctx, st, path.Join("statistics", c.Name, scan.ID+".json"), func(work func(*manifest.Row) error) (manifest.Row, error) {
		return manifest.Settle(ctx, st, scan, wanted, work)
	}, func() (Row, error) {
		row, err := Files(ctx, c, scan)
		if err == nil {
			err = row.addCertainty(ctx, st, c.Certainty)
		}
		return row, err
	})
}

// addCertainty reads how sure the models were. Labels that somebody else has made have no
// such record.
func (r *Row) addCertainty(ctx context.Context, st *store.Store, folder string) error {
	if folder == "" {
		return nil
	}
	text, err := st.Read(ctx, path.Join(folder, r.Case+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var took struct{ Certainty []float64 }
	if err == nil {
		err = json.Unmarshal(text, &took)
	}
	if err != nil {
		return fmt.Errorf("statistics: how sure the models were of %s: %w", r.Case, err)
	}
	for i, o := range r.Organs {
		if o.Label < len(took.Certainty) && o.Voxels > 0 {
			r.Organs[i].Certainty = took.Certainty[o.Label]
		}
	}
	return nil
}

// bytesAVoxel is what reading and measuring takes: the image as float32, labels, and
// both once more while the files' numbers are read.
const bytesAVoxel = 10

// Files reads a scan with its labels and measures it. What is wrong with a file is a
// *cases.Fault. It waits until the process has memory for both.
func Files(ctx context.Context, c Config, scan cases.Case) (Row, error) {
	g, err := cases.ReadGeometry(ctx, scan, nifti.Stored)
	if err != nil {
		return Row{}, err
	}
	release, err := memory.Admit(ctx, scan.Image, bytesAVoxel*int64(g.Voxels()), c.BudgetBytes)
	if err != nil {
		return Row{}, err
	}
	defer release()
	image, labels, _, err := cases.ReadPair(ctx, scan, c.scheme(), nifti.Stored, 0)
	if err != nil {
		return Row{}, err
	}
	row, err := Measure(image, labels, c.Labels)
	row.Case, row.Image, row.Labels = scan.ID, scan.Image, scan.Labels
	return row, err
}

// Publish writes report/statistics/<name>/: statistics.csv and statistics.parquet (Line), flags.csv and
// flags.json (Flag), and reference.json (Reference) for measurings that compare with
// this one.
func Publish(ctx context.Context, st *store.Store, c Config, rows []Row) ([]Flag, error) {
	var usual *Reference
	if c.Reference != "" {
		text, err := st.Read(ctx, ReferenceKey(c.Reference))
		if err == nil {
			err = json.Unmarshal(text, &usual)
		}
		if err != nil {
			return nil, fmt.Errorf("statistics: what labelled scans say: %w", err)
		}
	}
	flags := []Flag{}
	for _, r := range sorted(rows) {
		flags = append(flags, Flags(r, usual)...)
	}
	own, err := ReferenceOf(rows)
	if err != nil {
		return nil, err
	}
	lines := Lines(rows, flags)
	for name, make := range map[string]func() ([]byte, error){
		"statistics.csv":     func() ([]byte, error) { return CSV(lines) },
		"statistics.parquet": func() ([]byte, error) { return Parquet(lines) },
		"flags.csv":          func() ([]byte, error) { return flagsCSV(flags) },
		"flags.json":         func() ([]byte, error) { return json.MarshalIndent(flags, "", "  ") },
		"reference.json":     func() ([]byte, error) { return json.MarshalIndent(own, "", "  ") },
	} {
		data, err := make()
		if err == nil {
			err = st.Write(ctx, path.Join(ReportFolder(c.Name), name), data)
		}
		if err != nil {
			return nil, fmt.Errorf("statistics: write the report of %s: %w", c.Name, err)
		}
	}
	return flags, nil
}

// ReportFolder is where Publish writes.
func ReportFolder(name string) string { return path.Join("report", "statistics", name) }

// ReferenceKey is where the reference of a measuring lies.
func ReferenceKey(name string) string { return path.Join(ReportFolder(name), "reference.json") }
