package main

import (
	"context"
	"os"
	"path/filepath"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

// plan is what the planner makes of scans like the phantom. model.py has the same in
// nnU-Net's form.
func (t task) plan() (plan.Plan, error) {
	d := &cases.Dataset{Name: "Benchmark", Labels: organs(), Ignore: -1}
	f := fingerprint.Fingerprint{
		Shapes: [][3]int{{110, 474, 474}}, Spacings: [][3]float64{{2.5, 0.8, 0.8}}, Orientation: "stored", RelativeSize: 1,
		Intensity: map[string]fingerprint.Intensity{"0": {Mean: 80, SD: 140, P005: -960, P995: 280}},
	}
	return plan.Make(f, d, plan.Options{Overrides: map[string]string{"patch_size": "40,224,192"}})
}

func organs() (list []cases.Label) {
	for id, name := range phantom.Names[1:] {
		list = append(list, cases.Label{ID: id + 1, Name: name})
	}
	return list
}

// stored is no work: it makes a store of the plan and the weights in the folder's
// network.safetensors, from which `noisystudent predict` labels.
func stored(t task) (work, error) {
	ctx := context.Background()
	p, err := t.plan()
	if err != nil {
		return work{}, err
	}
	st, err := store.Open(ctx, filepath.Join(t.Folder, "store"))
	if err != nil {
		return work{}, err
	}
	if err := plan.Save(ctx, st, p); err != nil {
		return work{}, err
	}
	folder := fit.Folder(fit.Finetuned, 0)
	latest, err := manifest.Encode(fit.Latest{Format: 1, Epochs: 1, Inputs: "random weights", Done: true})
	if err != nil {
		return work{}, err
	}
	if err := st.Write(ctx, folder+"/latest", latest); err != nil {
		return work{}, err
	}
	key, _, err := fit.WeightsKey(ctx, st, folder)
	if err != nil {
		return work{}, err
	}
	weights, err := os.ReadFile(filepath.Join(t.Folder, "network.safetensors"))
	if err != nil {
		return work{}, err
	}
	return work{}, st.Write(ctx, key, weights)
}
