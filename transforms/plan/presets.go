package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names of the presets.
const (
	Student      = "student"       // the paper's: half of nnU-Net's features, twice its batch, arg-max before labels are resampled
	LowFootprint = "low-footprint" // the same network with nnU-Net's inference: probabilities are resampled
	NNUNet       = "nnunet"        // nnU-Net's own network, as its planner sizes it, and its inference
	Laptop       = "laptop"        // labels a scan on a CPU in seconds: coarser voxels, smaller tiles, and only where the organs are
	Demo         = "demo"          // minutes on a CPU: 5 mm voxels, a few labelled cases
)

// setting is one field of the plan with where its value comes from. Presets and
// overrides are lists of settings, so a preset can do nothing that --set cannot.
type setting struct{ path, value, reason string }

// common holds for every preset that does not say otherwise: the paper's protocol.
var common = []setting{
	{"training.folds", "5", "the paper: five teachers by cross-validation"},
	{"training.steps_per_epoch", "250", "nnU-Net"},
	{"training.teacher_epochs", "1000", "the paper"},
	{"training.student_epochs", "1000", "the paper"},
	{"training.finetune_epochs", "75", "the paper's 2.7 h of 36 h are 7.5 % of the epochs"},
	{"training.optimizer", "sgd", "the paper: Nesterov momentum"},
	{"training.initial_lr", "0.01", "the paper"},
	{"training.finetune_lr", "0.01", "the same protocol as before"},
	{"training.warmup_steps", "0", "none with SGD"},
	{"training.poly_exponent", "0.9", "nnU-Net's polynomial decay"},
	{"training.momentum", "0.99", "nnU-Net; SGD only"},
	{"training.weight_decay", "3e-5", "nnU-Net"},
	{"training.clip_norm", "12", "nnU-Net: norm of all gradients"},
	{"training.oversample_foreground", "0.33", "nnU-Net: this part of a labelled batch is sure to hold foreground"},
	{"training.student_labelled_part", "0.25", "the paper: one labelled to three pseudo-labelled cases"},
	{"training.teacher_augment", "teacher", "the paper's teacher table"},
	{"training.student_augment", "student", "the paper's student table: stronger noise"},
	{"training.mirror", "plain", "the paper: every axis with probability 0.5"},
	{"training.student_all_labels", "false", "the paper: the fold's training part only"},
	{"training.weights_ema", "0", "the paper: the last weights predict, not their moving average over epochs"},
	{"training.precision", Mixed, "the paper: half precision on a card; the CPU computes in float32, transformed products within 1e-4 of the definition are allowed"},
	{"inference.step_size", "0.5", "nnU-Net: tiles overlap by half"},
	{"inference.blend", "logits", "nnU-Net: Gaussian-weighted logits, then softmax"},
	{"inference.export", "labels", "the paper: arg-max at network resolution, then nearest"},
	{"inference.mirror", "none", "the paper: no test-time augmentation"},
	{"inference.precision", Mixed, "the paper: half precision on a card; the CPU computes in float32, transformed products within 1e-4 of the definition are allowed"},
	{"inference.temperature", "0", "the paper: probabilities are what the softmax gives; evaluate --calibrate says what would make them fit"},
	{"inference.tiles", AllTiles, "the paper: the whole scan is computed"},
	{"pseudo_labels.min_confidence", "0", "the paper: every pseudo-labelled case is learnt from"},
	{"pseudo_labels.drop_part", "0", "the paper: every organ of it"},
	{"pseudo_labels.max_doubt", "0", "the paper: every organ of it"},
	{"pseudo_labels.max_deviation", "0", "the paper: every organ of it, wherever it lies"},
	{"pseudo_labels.max_change", "0", "the paper: there is one round"},
	{"pseudo_labels.min_organs", "0", "the paper: every case"},
	{"pseudo_labels.min_voxel_confidence", "0", "the paper: every voxel"},
	{"pseudo_labels.weigh_voxels", "false", "the paper: all voxels weigh the same"},
	{"pseudo_labels.soft", "false", "the paper: the most probable class of each voxel"},
	{"pseudo_labels.more_rounds", "0", "the paper: students do not become teachers"},
	{"inference.region_scale", fmt.Sprint(regionScale), "organs are looked for in voxels so many times as long, where inference.tiles asks for their region"},
	{"inference.region_margin_mm", fmt.Sprint(regionMarginMM), "what is computed around them too"},
}

// halved is nnU-Net's network with half of its features.
var halved = []setting{
	{"architecture.features_per_stage", "16..320", "half of nnU-Net's 32, doubled per stage up to its limit of 320"},
	{"batch_size", "4", "the paper: the memory saved by halving the features goes into the batch"},
}

var resampled = setting{"inference.export", "probabilities", "nnU-Net: resample, then arg-max"}

var presets = map[string][]setting{
	Student:      halved,
	LowFootprint: append(slices.Clone(halved), resampled),
	NNUNet:       {{"training.teacher_augment", "nnunet", "nnU-Net's own augmentation"}, resampled},
	Laptop: {
		{"spacing", "2.5,1.5,1.5", "laptop: FLARE's slices as they are, twice its pixels: a quarter of the voxels"},
		{"patch_size", "48,128,128", "laptop: 120x192x192 mm, as much body as the paper's patch in half the voxels"},
		{"architecture.features_per_stage", "16..256", "half of nnU-Net's 32, doubled per stage"},
		{"architecture.kernel_sizes", "1x3x3,3x3x3..", "laptop: full resolution takes most of the time; the paper's network begins so too"},
		{"batch_size", "2", "laptop: nnU-Net's"},
		{"inference.tiles", RegionTiles, "laptop: no tiles where there are no organs"},
	},
	Demo: {
		{"spacing", "5,5,5", "demo: coarse voxels, so that a CPU trains in minutes"},
		{"patch_size", "16,48,64", "demo: nearly a whole case of 18x48x64 voxels"},
		{"architecture.features_per_stage", "8..64", "demo: about 2 GFLOP a training step"},
		{"architecture.kernel_sizes", "1x3x3,3x3x3..", "demo: half of a step would be spent at full resolution; the paper's network begins so too"},
		{"architecture.n_conv_per_stage", "1,2..", "demo: half of a step would be spent at full resolution"},
		{"architecture.n_conv_per_stage_decoder", "2..,1", "demo: half of a step would be spent at full resolution"},
		{"batch_size", "1", "demo: many small steps learn faster than few large ones"},
		{"batch_dice", "false", "demo: a batch is one case"},
		{"training.steps_per_epoch", "50", "demo: checkpoints every few seconds"},
		{"training.teacher_epochs", "16", "demo: 800 steps"},
		{"training.student_epochs", "40", "demo: 2,000 steps"},
		{"training.finetune_epochs", "8", "demo: 400 steps"},
		{"training.optimizer", "adamw", "learns more in few steps than SGD"},
		{"training.initial_lr", "0.005", "demo: what did best on validation cohorts"},
		{"training.finetune_lr", "0.003", "demo: nearly the rate of training, for labelled cases have the last word"},
		{"training.warmup_steps", "30", "AdamW starts unsteadily"},
		{"training.weight_decay", "0.01", "AdamW's default"},
		{"training.clip_norm", "1", "demo: steadier at batch 1"},
		{"training.class_weights", "frequency^-0.5", "small organs are a few dozen voxels at 5 mm: weight by 1/sqrt(volume), background 1, at most 50"},
		{"training.oversample_foreground", "0.5", "demo: of a batch of one, rounded as nnU-Net does, this is every patch"},
		{"training.mirror", "none", "plain flips swap left and right organs and cost accuracy in short training"},
		{"training.student_all_labels", "true", "demo: three labelled cases are too few to leave one out"},
	},
}

// Presets returns the names of the presets, ascending.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }

// settings merges the common settings, the preset's and the person's, the later
// over the earlier.
func settings(preset string, overrides map[string]string) (map[string]setting, error) {
	own, ok := presets[preset]
	if !ok {
		return nil, fmt.Errorf("plan: make: unknown preset %q; there are %s", preset, strings.Join(Presets(), ", "))
	}
	given := map[string]setting{}
	for _, s := range slices.Concat(common, own) {
		given[s.path] = s
	}
	for path, value := range overrides {
		given[path] = setting{path, value, "set by hand"}
	}
	return given, nil
}
