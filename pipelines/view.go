package pipelines

import (
	"context"
	"fmt"
	"strings"

	"noisystudent/pipelines/view"
	"noisystudent/transforms/cases"
)

// ViewRequest names scans and what is drawn over them.
type ViewRequest struct {
	Input      string // scans: a glob, a folder or a gs:// prefix
	Labels     string // folder or gs:// prefix of <case>.nii.gz, or ""
	References string // as Labels, to compare with
	Dataset    string // address of the dataset.json that names the labels; empty: beside References, else Labels, if there is one
}

// Viewed is what a person may look at.
type Viewed struct {
	Server   *view.Server
	Cases    int
	Rejected []Rejected // files that are not shown
}

// View finds the cases of a request and pairs them by name; one scan and one label file are a pair
// whatever their names are. Labels of no scan are not shown.
func View(ctx context.Context, q ViewRequest) (Viewed, error) {
	scans, rejected, err := cases.Scans(ctx, q.Input)
	if err != nil {
		return Viewed{}, err
	}
	list := make([]view.Case, len(scans))
	for i, c := range scans {
		list[i] = view.Case{ID: c.ID, Scan: c.Image}
	}
	for _, over := range []struct {
		address string
		of      func(*view.Case) *string
	}{
		{q.Labels, func(c *view.Case) *string { return &c.Labels }},
		{q.References, func(c *view.Case) *string { return &c.References }},
	} {
		if over.address == "" {
			continue
		}
		labels, unusable, err := masks(ctx, over.address)
		if err != nil {
			return Viewed{}, err
		}
		rejected = append(rejected, unusable...)
		if found := lay(list, labels, over.of); !found && len(list) > 0 {
			return Viewed{}, fmt.Errorf("pipelines: view: no scan of %s has labels in %s; label files are called <case>.nii.gz, as %s.nii.gz", q.Input, over.address, list[0].ID)
		}
	}
	if len(list) == 0 {
		return Viewed{}, fmt.Errorf("pipelines: view: no scan of %s can be shown: %s", q.Input, rejected[0].Message)
	}
	names, err := q.names(ctx)
	if err != nil {
		return Viewed{}, err
	}
	return Viewed{view.New(list, names), len(list), rejected}, nil
}

// lay gives each scan its labels and reports whether there was one.
func lay(list []view.Case, labels map[string]string, of func(*view.Case) *string) (found bool) {
	for i := range list {
		address := labels[list[i].ID]
		if address == "" && len(list) == 1 && len(labels) == 1 {
			for _, only := range labels {
				address = only
			}
		}
		*of(&list[i]) = address
		found = found || address != ""
	}
	return found
}

// names are those of the classes. Only a dataset.json that was asked for has to be there: predictions
// often lie without one.
func (q ViewRequest) names(ctx context.Context) ([]cases.Label, error) {
	if q.Dataset != "" {
		labels, _, err := cases.ReadScheme(ctx, q.Dataset)
		return labels, err
	}
	for _, folder := range []string{q.References, q.Labels, q.Input} {
		if folder == "" || strings.ContainsAny(folder, "*?[") {
			continue
		}
		if labels, _, err := cases.ReadScheme(ctx, EvaluateRequest{References: folder}.scheme()); err == nil {
			return labels, nil
		}
	}
	return nil, nil
}
