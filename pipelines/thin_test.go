package pipelines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/transforms/fit"
	"noisystudent/transforms/pseudo"
)

// TestThinData is about datasets that are sound and hold too little: the loop does what
// can be done and its report says what limits it, or it says at once what is missing.
func TestThinData(t *testing.T) {
	for _, c := range []struct {
		name                       string
		labelled, unlabelled, test int
		set                        []string
		spoil                      func(root string)
		fails                      string
		warns                      []string
	}{
		{name: "fewer cases than folds", labelled: 2, unlabelled: 1, test: 1, set: []string{"training.folds=3"}, warns: []string{"only 2 labelled cases, so fold k leaves out case k mod 2"}},
		{name: "one labelled case", labelled: 1, unlabelled: 1, test: 1, warns: []string{"the one case both trains and validates"}},
		{name: "no unlabelled case", labelled: 2, test: 1, fails: "has no unlabelled scans in imagesUn that can be used"},
		{name: "an organ that no case has", labelled: 2, unlabelled: 1, test: 1, spoil: func(root string) {
			name := filepath.Join(root, "dataset.json")
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			put(t, name, []byte(strings.Replace(string(text), `"stomach":`, `"appendix": 14, "stomach":`, 1)))
		}, warns: []string{"no labelled case has appendix"}},
		{name: "a test set without labels", labelled: 2, unlabelled: 1, test: 2, spoil: func(root string) {
			if err := os.RemoveAll(filepath.Join(root, "labelsTs")); err != nil {
				t.Fatal(err)
			}
		}, warns: []string{"2 of 2 test cases have no labels", "nothing was scored"}},
	} {
		folder := t.TempDir()
		root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
		tinyCohort(t, root, c.labelled, c.unlabelled, c.test, 0)
		if c.spoil != nil {
			c.spoil(root)
		}
		o := tinyOptions(root, st, &notes{})
		o.Set = append(slices.Clone(tiny), c.set...)
		r, err := Loop(t.Context(), o)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), "`noisystudent train --role control`") {
				t.Errorf("%s: %v", c.name, err)
			}
			if made, _ := filepath.Glob(filepath.Join(st, "models", "*")); len(made) > 0 {
				t.Errorf("%s: %v were trained for nothing", c.name, made)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.warns {
			if !strings.Contains(r.String(), want) {
				t.Errorf("%s: the report does not say %q:\n%s", c.name, want, r)
			}
		}
		if text, err := os.ReadFile(filepath.Join(st, "report", "summary.json")); err != nil || !strings.Contains(string(text), c.warns[0]) {
			t.Errorf("%s: summary.json does not say %q: %v", c.name, c.warns[0], err)
		}
		if len(r.Training) != fitted(o)+fitted(o)+1 {
			t.Errorf("%s: %d models", c.name, len(r.Training))
		}
	}
}

// fitted is how many folds the tiny plan has with the options' settings.
func fitted(o Options) int {
	if slices.Contains(o.Set, "training.folds=3") {
		return 3
	}
	return 2
}

// What is said where no pseudo-label is left: dropped ones are a matter of the rule,
// others of the scans.
func TestNoPseudoLabelLeft(t *testing.T) {
	root := t.TempDir()
	r := &run{store: mustOpen(t, root), models: map[string]TrainedModel{}, voted: ballot{round: 1}}
	var none *noPoolError
	if _, err := r.selectLabels(t.Context()); !errors.As(err, &none) || !strings.Contains(err.Error(), "see the rejected cases in "+filepath.Join(root, "ledger/"+pseudo.Stage(1))) {
		t.Errorf("%v", err)
	}
	if s := pseudo.Select([]pseudo.Note{{Case: "a", Confidence: 0.2}}, nil, pseudo.Rule{MinConfidence: 0.9}); len(s.Kept) != 0 || len(s.Dropped) != 1 {
		t.Errorf("%+v", s)
	}
	if text := fmt.Sprint(allDropped(r.store, 1, 3)); !strings.Contains(text, "all 3 pseudo-labels were dropped") || !strings.Contains(text, "selection.json") || !strings.Contains(text, string(fit.Control)) {
		t.Error(text)
	}
}
