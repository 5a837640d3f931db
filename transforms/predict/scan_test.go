package predict

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/statistics"
)

// ready returns a store with models of random weights and the configuration of
// their ensemble.
func ready(t *testing.T, models int) (*store.Store, Config) {
	t.Helper()
	st := fittest.Open(t)
	c := Config{Store: st.Root(), Plan: fittest.Plan(), Options: Options{Device: "ref", Threads: 1}}
	for m := range models {
		ref := ModelRef{Weights: fmt.Sprintf("weights%d", m), Digest: fmt.Sprintf("random model %d", m)}
		fittest.Weights(t, st, c.Plan, ref.Weights, uint64(m+3))
		c.Models = append(c.Models, ref)
	}
	return st, c
}

func readRAS(t *testing.T, address string) *volume.Labels {
	t.Helper()
	r, err := store.OpenAddress(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, _, err := nifti.ReadLabels(r, nifti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// golden is the digest of what Version writes. When it changes, raise Version:
// predictions in people's stores would otherwise pass for those of this program.
const golden = "1 4bca0df63cffa36f348e68551a7a9df4"

func TestGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors fuse products of the reference device")
	}
	h := sha256.New()
	scan := fittest.File(t, t.TempDir(), "x", 3, 0.87)
	for _, export := range []string{"labels", "probabilities"} {
		st, c := ready(t, 2)
		c.Plan.Inference.Export = export
		row, err := Scan(t.Context(), st, c, scan)
		if err != nil || row.Outcome != manifest.Done {
			t.Fatal(err, row)
		}
		h.Write(readRAS(t, st.Address(row.Output)).Data)
	}
	if got := fmt.Sprint(Version, " ", hex.EncodeToString(h.Sum(nil))[:32]); got != golden {
		t.Errorf("labels are %q, want %q: raise Version, then set golden", got, golden)
	}
}

func TestDigestNamesWhatMatters(t *testing.T) {
	_, plain := ready(t, 2)
	for name, change := range map[string]func(c *Config){
		"export":    func(c *Config) { c.Plan.Inference.Export = "probabilities" },
		"mirror":    func(c *Config) { c.Plan.Inference.Mirror = "x" },
		"spacing":   func(c *Config) { c.Plan.Spacing[0] = 2 },
		"patch":     func(c *Config) { c.Plan.PatchSize[0] = 16 },
		"network":   func(c *Config) { c.Plan.Network.Classes = 9 },
		"precision": func(c *Config) { c.Plan.Inference.Precision = plan.BF16 },
		"models":    func(c *Config) { c.Models = c.Models[:1] },
		"largest":   func(c *Config) { c.Plan.Inference.KeepLargest = []string{"liver"} },
	} {
		_, c := ready(t, 2)
		if change(&c); c.Digest() == plain.Digest() {
			t.Errorf("%s is not in the digest", name)
		}
	}
	_, c := ready(t, 2)
	c.Plan.Training.StudentEpochs, c.Output, c.Options.Threads, c.Plan.Reasons = 9, "out", 3, map[string]string{"a": "b"}
	c.Plan.Inference.KeepLargest = []string{} // which is none
	if c.Digest() != plain.Digest() || !strings.HasPrefix(c.Stage(), "predict-") || c.Key("x") != "predictions/"+c.Digest()[:12]+"/x.nii.gz" {
		t.Errorf("stage %s, key %s", c.Stage(), c.Key("x"))
	}
}

// What is kept is the largest piece on the scan's own grid, whatever the export.
func TestScanKeepsLargest(t *testing.T) {
	scan := fittest.File(t, t.TempDir(), "x", 3, 0.87)
	for _, export := range []string{"labels", "probabilities"} {
		st, c := ready(t, 2)
		c.Plan.Inference.Export = export
		var labels [2]*volume.Labels
		for i := range labels {
			row, err := Scan(t.Context(), st, c, scan)
			if err != nil || row.Outcome != manifest.Done {
				t.Fatal(err, row)
			}
			labels[i] = readRAS(t, st.Address(row.Output))
			c.Plan.Inference.KeepLargest = []string{"left_kidney", "liver"}
		}
		if statistics.KeepLargest(labels[0].Data, labels[0].Shape, []int{1, 3}) == 0 {
			t.Errorf("%s: there was nothing to remove: the test says nothing", export)
		}
		if !bytes.Equal(labels[0].Data, labels[1].Data) {
			t.Errorf("%s: other labels than the largest pieces", export)
		}
	}
}

func TestScanRefusesCasesNotTheRun(t *testing.T) {
	folder := t.TempDir()
	scan := fittest.File(t, folder, "x", 3, 1)
	st, c := ready(t, 1)
	full := errors.New("no space left")
	for _, try := range []struct {
		name   string
		st     *store.Store
		change func(c *Config, s *cases.Case)
		kind   cases.Kind
	}{
		{"missing", st, func(_ *Config, s *cases.Case) { s.Image += "x" }, cases.Missing},
		{"too large", st, func(c *Config, _ *cases.Case) { c.Options.Memory = 1 << 20 }, cases.TooLarge},
		{"full store", store.WithFault(st, func(op, key string) error {
			if op == "commit" && strings.HasPrefix(key, "predictions/") {
				return full
			}
			return nil
		}), func(*Config, *cases.Case) {}, cases.NotWritten},
	} {
		c, scan := c, scan
		try.change(&c, &scan)
		row, err := Scan(t.Context(), try.st, c, scan)
		if err != nil || row.Outcome != manifest.Rejected || row.Reason != try.kind || row.Output != "" {
			t.Errorf("%s: row %+v, error %v", try.name, row, err)
		}
		if kept, found, err := manifest.Lookup(t.Context(), st, c.Stage(), "x"); err != nil || !found || kept != row {
			t.Errorf("%s: ledger %+v, %v", try.name, kept, err)
		}
	}
	if row, err := Scan(t.Context(), st, c, scan); err != nil || row.Outcome != manifest.Done {
		t.Errorf("after the faults: row %+v, error %v", row, err)
	}
}

func TestScanFailsTheRun(t *testing.T) {
	scan := fittest.File(t, t.TempDir(), "x", 3, 1)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *Config){
		"weights are gone":      func(c *Config) { c.Models[0] = ModelRef{"gone", "gone"} },
		"weights of another":    func(c *Config) { c.Plan.Network.Features = []int{2, 3, 5} },
		"no such device":        func(c *Config) { c.Options.Device = "abacus" },
		"no model":              func(c *Config) { c.Models = nil },
		"no digest":             func(c *Config) { c.Models[0].Digest = "" },
		"no such axis":          func(c *Config) { c.Plan.Inference.Mirror = "x,w" },
		"output is not a place": func(c *Config) { c.Output = file },
	} {
		st, c := ready(t, 1)
		change(&c)
		if row, err := Scan(t.Context(), st, c, scan); err == nil || !strings.HasPrefix(err.Error(), "predict: x: ") {
			t.Errorf("%s: row %+v, error %v", name, row, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	st, c := ready(t, 1)
	if row, err := Scan(ctx, st, c, scan); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped run: row %+v, error %v", row, err)
	}
}

// A copy is made again without the network.
func TestOutputIsCopied(t *testing.T) {
	scan := fittest.File(t, t.TempDir(), "x", 3, 1)
	st, c := ready(t, 1)
	c.Output = t.TempDir()
	copied := filepath.Join(c.Output, "x.nii.gz")
	var first []byte
	for _, spoil := range []func() error{
		func() error { return nil },
		func() error { return os.Remove(copied) },
		func() error { return os.WriteFile(copied, []byte("another model's"), 0o644) },
		func() error { return st.Remove(t.Context(), "weights0") },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := Scan(t.Context(), st, c, scan); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(copied)
		kept, err2 := st.Read(t.Context(), c.Key("x"))
		if err != nil || err2 != nil || !bytes.Equal(got, kept) || first != nil && !bytes.Equal(got, first) {
			t.Errorf("copy of %d bytes, %d kept, %v, %v", len(got), len(kept), err, err2)
		}
		first = got
	}
	info, err := os.Stat(copied)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Scan(t.Context(), st, c, scan); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(copied); err != nil || !again.ModTime().Equal(info.ModTime()) {
		t.Errorf("an equal copy was written again: %v", err)
	}
}
