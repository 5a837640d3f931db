package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"noisystudent/transforms/cases"
)

// maxPatchVoxels bounds a patch; nnU-Net's start is 256^3.
const maxPatchVoxels = 1 << 28

// Check reports the first thing that makes the plan unusable, by its field.
func (p Plan) Check() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("plan: check: %w", err)
	}
	return nil
}

func (p Plan) check() error {
	for _, check := range []func() error{p.checkHead, p.checkGrid, p.checkNetwork, p.checkTraining, p.checkInference, p.checkPseudo} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p Plan) checkHead() error {
	if p.Format < 1 || p.Format > FormatVersion {
		return fmt.Errorf("format %d: this program reads up to %d", p.Format, FormatVersion)
	}
	for i, l := range p.Labels {
		if l.ID != i+1 || l.Name == "" {
			return fmt.Errorf("labels: entry %d is %d %q; ids must run from 1 without gaps, each with a name", i, l.ID, l.Name)
		}
	}
	if p.Ignore != -1 && p.Ignore != p.Classes() {
		return fmt.Errorf("ignore_label %d: it must be %d, the first value after the labels, or -1", p.Ignore, p.Classes())
	}
	return firstOf(
		oneOf("preset", p.Preset, Presets()...),
		oneOf("orientation", p.Orientation, "ras", "stored"),
	)
}

func (p Plan) checkGrid() error {
	voxels := 1.0
	for a := range 3 {
		if err := within("spacing", p.Spacing[a], 0.01, 100); err != nil {
			return err
		}
		if err := within("patch_size", float64(p.PatchSize[a]), 1, 4096); err != nil {
			return err
		}
		voxels *= float64(p.PatchSize[a])
	}
	i := p.Intensity
	return firstOf(
		within("patch_size: voxels", voxels, 1, maxPatchVoxels),
		within("batch_size", float64(p.BatchSize), 1, 1024),
		within("foreground_intensity_properties.mean", i.Mean, -1e9, 1e9),
		within("foreground_intensity_properties.std", i.SD, 1e-9, 1e9),
		within("foreground_intensity_properties.percentile_00_5", i.P005, -1e9, 1e9),
		within("foreground_intensity_properties.percentile_99_5 above the lower one by", i.P995-i.P005, 1e-9, 1e9),
	)
}

func (p Plan) checkNetwork() error {
	if err := p.Network.Check(); err != nil {
		return fmt.Errorf("architecture: %w", err)
	}
	if p.Network.Classes != p.Classes() {
		return fmt.Errorf("architecture.num_classes %d: there are %d labels and background", p.Network.Classes, len(p.Labels))
	}
	for i := 1; i < p.Network.Stages(); i++ {
		if f := p.Network.Features; f[i] < f[i-1] {
			return fmt.Errorf("architecture.features_per_stage %v: a lower stage needs no fewer features than the one above it", f)
		}
	}
	divisor := p.Network.Divisor()
	bottleneck := 1
	for a := range 3 {
		if p.PatchSize[a]%divisor[a] != 0 {
			return fmt.Errorf("patch_size %v: the strides need multiples of %v", p.PatchSize, divisor)
		}
		bottleneck *= p.PatchSize[a] / divisor[a]
	}
	if bottleneck < 2 {
		return fmt.Errorf("patch_size %v: the lowest stage has one voxel, which instance normalisation makes zero", p.PatchSize)
	}
	return nil
}

func (p Plan) checkTraining() error {
	t := p.Training
	for _, w := range t.ClassWeights {
		if err := within("training.class_weights", w, 0, 1e6); err != nil {
			return err
		}
	}
	if n := len(t.ClassWeights); n != 0 && n != p.Classes() {
		return fmt.Errorf("training.class_weights: %d values, want none or %d, background first", n, p.Classes())
	}
	if t.Mirror == "laterality" || t.Mirror == "left-right" {
		if p.Orientation != "ras" {
			return fmt.Errorf("training.mirror %s: it must know left from right, which needs orientation ras", t.Mirror)
		}
		if names := cases.OneSided(p.Labels); names != nil {
			return fmt.Errorf("training.mirror %s: there is no label of the other side of %s; flipped, it would be taught as its twin", t.Mirror, strings.Join(names, ", "))
		}
	}
	return firstOf(
		within("training.folds", float64(t.Folds), 2, 100),
		within("training.steps_per_epoch", float64(t.StepsPerEpoch), 1, 1e6),
		within("training.teacher_epochs", float64(t.TeacherEpochs), 1, 1e6),
		within("training.student_epochs", float64(t.StudentEpochs), 1, 1e6),
		within("training.finetune_epochs", float64(t.FinetuneEpochs), 0, 1e6),
		oneOf("training.optimizer", t.Optimizer, "sgd", "adamw"),
		within("training.initial_lr", t.LearningRate, 1e-12, 100),
		within("training.finetune_lr", t.FinetuneRate, 1e-12, 100),
		within("training.warmup_steps", float64(t.WarmupSteps), 0, 1e9),
		within("training.poly_exponent", t.PolyExponent, 0, 100),
		within("training.momentum", t.Momentum, 0, 1),
		within("training.weight_decay", t.WeightDecay, 0, 1),
		within("training.clip_norm", t.ClipNorm, 1e-9, 1e9),
		within("training.weights_ema", t.WeightsEMA, 0, 0.9999),
		within("training.oversample_foreground", t.ForegroundPart, 0, 1),
		within("training.student_labelled_part", t.LabelledPart, 0, 1),
		oneOf("training.teacher_augment", t.TeacherAugment, "teacher", "student", "nnunet", "none"),
		oneOf("training.student_augment", t.StudentAugment, "teacher", "student", "nnunet", "none"),
		oneOf("training.mirror", t.Mirror, "plain", "laterality", "left-right", "none"),
		oneOf("training.precision", t.Precision, Precisions()...),
	)
}

func (p Plan) checkInference() error {
	i := p.Inference
	if i.Mirror != "none" {
		axes := strings.Split(i.Mirror, ",")
		for _, a := range axes {
			if err := oneOf("inference.mirror", a, "x", "y", "z"); err != nil {
				return fmt.Errorf("%w, or none", err)
			}
		}
		if slices.Sort(axes); len(slices.Compact(axes)) != strings.Count(i.Mirror, ",")+1 {
			return fmt.Errorf("inference.mirror %q names an axis twice", i.Mirror)
		}
	}
	for _, name := range i.KeepLargest {
		if p.labelOf(name) == 0 {
			return fmt.Errorf("inference.keep_largest: there is no label %q; the labels are %s", name, p.labelNames())
		}
	}
	if i.Temperature > 0 && i.Blend != "logits" {
		return fmt.Errorf("inference.temperature %v: it divides logits, which inference.blend softmax does not keep; use logits", i.Temperature)
	}
	return firstOf(
		i.checkTiles(),
		within("inference.temperature", i.Temperature, 0, 100),
		within("inference.step_size", i.StepSize, 0.05, 1),
		oneOf("inference.blend", i.Blend, "logits", "softmax"),
		oneOf("inference.export", i.Export, "labels", "probabilities"),
		oneOf("inference.precision", i.Precision, Precisions()...),
	)
}

func (p Plan) checkPseudo() error {
	s := p.Pseudo
	if s.MinOrgans > 0 && !s.ByOrgan() {
		return fmt.Errorf("pseudo_labels.min_organs %v: no organ is left out; set pseudo_labels.drop_part, max_doubt, max_deviation or max_change too", s.MinOrgans)
	}
	if s.MaxChange > 0 && s.MoreRounds == 0 {
		return fmt.Errorf("pseudo_labels.max_change %v: there is one round, and none before it; set pseudo_labels.more_rounds too", s.MaxChange)
	}
	if s.Soft && s.WeighVoxels {
		return fmt.Errorf("pseudo_labels.soft and pseudo_labels.weigh_voxels: a voxel is drawn once; use one of them")
	}
	return firstOf(
		within("pseudo_labels.min_confidence", s.MinConfidence, 0, 1),
		within("pseudo_labels.drop_part", s.DropPart, 0, 0.95),
		within("pseudo_labels.max_doubt", s.MaxDoubt, 0, 1),
		within("pseudo_labels.max_deviation", s.MaxDeviation, 0, 1000),
		within("pseudo_labels.max_change", s.MaxChange, 0, 1),
		within("pseudo_labels.min_organs", s.MinOrgans, 0, 1),
		within("pseudo_labels.min_voxel_confidence", s.MinVoxelConfidence, 0, 1),
		within("pseudo_labels.more_rounds", float64(s.MoreRounds), 0, 10),
	)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func oneOf(field, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %q: want one of %s", field, value, strings.Join(allowed, ", "))
}

func within(field string, v, lo, hi float64) error {
	if v >= lo && v <= hi && !math.IsNaN(v) {
		return nil
	}
	return fmt.Errorf("%s %v: want %g to %g", field, v, lo, hi)
}
