package pipelines

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
)

// model is a trained model as predictions name it.
type model struct {
	Role    fit.Role
	Fold    int
	Weights string // store key
	Digest  string
}

// errUntrained is the cause of asking for a model that is not there.
var errUntrained = errors.New("it is not trained")

// modelOf returns a model that is trained to its end.
func (r *run) modelOf(ctx context.Context, role fit.Role, fold int) (model, error) {
	folder := fit.Folder(role, fold)
	latest, _, err := fit.ReadLatest(ctx, r.store, folder)
	if err != nil {
		return model{}, err
	}
	if !latest.Done {
		return model{}, fmt.Errorf("pipelines: %s: %w; run `noisystudent train --role %s` first", r.store.Address(folder), errUntrained, role)
	}
	key, _, err := fit.WeightsKey(ctx, r.store, folder)
	return model{role, fold, key, manifest.Digest("weights", latest.Inputs, latest.Epochs)}, err
}

// modelsOf returns a role's models, fold by fold.
func (r *run) modelsOf(ctx context.Context, role fit.Role, folds int) ([]model, error) {
	var out []model
	for fold := range folds {
		m, err := r.modelOf(ctx, role, fold)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// ensembleDigest names a set of models, whatever their order.
func ensembleDigest(models []model) string {
	digests := make([]string, len(models))
	for i, m := range models {
		digests[i] = m.Digest
	}
	slices.Sort(digests)
	return manifest.Digest("ensemble", digests)
}

// modelName is what people call a model of the store, or several.
type modelName struct {
	role fit.Role // empty: the ensemble of teachers
	fold int      // -1: the best
	best bool     // the checkpoint of the highest pseudo-DSC, not the last
}

// models lists what modelName may mean, for messages.
const modelNames = "finetuned, student, ensemble, control, or ROLE/FOLD such as teacher/0, and @best behind it for the checkpoint of the highest pseudo-DSC"

const atBest = "@best"

// parseModel reads a name; the empty one is no model but the best there is.
func parseModel(name string) (modelName, error) {
	plain, best := strings.CutSuffix(name, atBest)
	role, number, numbered := strings.Cut(plain, "/")
	n := modelName{fit.Role(role), -1, best}
	known := slices.Contains([]fit.Role{fit.Teacher, fit.Student, fit.Finetuned, fit.Control}, n.role)
	switch {
	case plain == "ensemble":
		n.role = ""
	case !known || n.role == fit.Teacher && !numbered:
		return n, misuse("no model %q; use %s", name, modelNames)
	case numbered:
		fold, err := strconv.Atoi(number)
		if err != nil || fold < 0 {
			return n, misuse("no model %q; use %s", name, modelNames)
		}
		n.fold = fold
	}
	return n, nil
}

// pick finds the models that a name means; an empty name is the best that is trained.
func (r *run) pick(ctx context.Context, name string) (string, []model, error) {
	if name != "" {
		n, err := parseModel(name)
		if err != nil {
			return "", nil, err
		}
		return r.named(ctx, n)
	}
	text, models, err := r.best(ctx)
	if errors.Is(err, errUntrained) {
		err = fmt.Errorf("pipelines: %s has no trained model; run `noisystudent loop` or `noisystudent train` first", r.store.Root())
	}
	return text, models, err
}

// best is the best model that is trained; without any the error is errUntrained.
func (r *run) best(ctx context.Context) (string, []model, error) {
	for _, n := range []modelName{{role: fit.Finetuned, fold: -1}, {role: fit.Student, fold: -1}, {fold: -1}} {
		text, models, err := r.named(ctx, n)
		if !errors.Is(err, errUntrained) {
			return text, models, err
		}
	}
	return "", nil, errUntrained
}

// named returns models by name, with what people call them.
func (r *run) named(ctx context.Context, n modelName) (string, []model, error) {
	if n.role == "" {
		models, err := r.modelsOf(ctx, fit.Teacher, r.plan.Training.Folds)
		if err == nil && n.best {
			err = r.takeBest(ctx, models)
		}
		return fmt.Sprintf("the ensemble of %d teachers%s", len(models), n.at()), models, err
	}
	if n.fold < 0 && n.role != fit.Control {
		var best foldScore // fold 0 where there was nothing to choose
		if _, err := r.readJSON(ctx, bestKey, &best); err != nil {
			return "", nil, err
		}
		n.fold = best.Best
	}
	n.fold = max(n.fold, 0)
	m, err := r.modelOf(ctx, n.role, n.fold)
	models := []model{m}
	if err == nil && n.best {
		err = r.takeBest(ctx, models)
	}
	return fmt.Sprintf("%s fold %d%s", n.role, n.fold, n.at()), models, err
}

// at says which checkpoint is meant, where it is not the last.
func (n modelName) at() string {
	if n.best {
		return atBest
	}
	return ""
}

// takeBest replaces the weights of models by those of their best checkpoints.
func (r *run) takeBest(ctx context.Context, models []model) error {
	for i, m := range models {
		folder := fit.Folder(m.Role, m.Fold)
		latest, _, err := fit.ReadLatest(ctx, r.store, folder)
		if err != nil {
			return err
		}
		history, err := fit.History(ctx, r.store, folder)
		if err != nil {
			return err
		}
		_, epochs := fit.Best(history)
		if epochs == 0 {
			return fmt.Errorf("pipelines: %s was trained without validation cases and has no best checkpoint; leave out %s", r.store.Address(folder), atBest)
		}
		models[i].Weights, models[i].Digest = fit.CheckpointKey(folder, epochs), manifest.Digest("weights", latest.Inputs, epochs)
	}
	return nil
}
