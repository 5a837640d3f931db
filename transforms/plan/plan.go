// Package plan turns a fingerprint into decisions: spacing, patch, network,
// intensity map, training schedule. The result is plan.json, a file that people
// read and edit; every later stage depends on it alone.
//
// The planner follows nnU-Net v2's ExperimentPlanner (3d_fullres).
package plan

import (
	"strings"

	"noisystudent/model/unet"
	"noisystudent/transforms/cases"
)

// FormatVersion of plan.json. Format 1 says nothing of precision: its networks
// multiplied exactly.
const FormatVersion = 2

// Plan is every decision about a dataset. Axes are (z, y, x).
type Plan struct {
	Format      int           `json:"format"`
	DatasetName string        `json:"dataset_name"`
	Preset      string        `json:"preset"`      // student, low-footprint, nnunet, laptop or demo
	Orientation string        `json:"orientation"` // ras or stored
	Labels      []cases.Label `json:"labels"`
	Ignore      int           `json:"ignore_label"`                // -1: none
	Spacing     [3]float64    `json:"spacing"`                     // mm after resampling
	MedianShape [3]float64    `json:"median_image_size_in_voxels"` // after resampling; for people, and for how many cases share a card
	PatchSize   [3]int        `json:"patch_size"`
	BatchSize   int           `json:"batch_size"`
	BatchDice   bool          `json:"batch_dice"`
	Intensity   Intensity     `json:"foreground_intensity_properties"`
	Network     unet.Spec     `json:"architecture"`
	Training    Training      `json:"training"`
	Inference   Inference     `json:"inference"`
	Pseudo      Pseudo        `json:"pseudo_labels,omitzero,omitempty"`
	Seed        uint64        `json:"seed"`
	// Reasons says why a field has its value: field name -> sentence.
	Reasons map[string]string `json:"reasons,omitempty"`
}

// Intensity is the CT normalisation: clip to the percentiles, subtract Mean, divide by SD.
type Intensity struct {
	Mean float64 `json:"mean"`
	SD   float64 `json:"std"`
	P005 float64 `json:"percentile_00_5"`
	P995 float64 `json:"percentile_99_5"`
}

// Training is the schedule of all roles.
type Training struct {
	Folds            int       `json:"folds"`
	StepsPerEpoch    int       `json:"steps_per_epoch"`
	TeacherEpochs    int       `json:"teacher_epochs"`
	StudentEpochs    int       `json:"student_epochs"`
	FinetuneEpochs   int       `json:"finetune_epochs"`
	Optimizer        string    `json:"optimizer"` // sgd or adamw
	LearningRate     float64   `json:"initial_lr"`
	FinetuneRate     float64   `json:"finetune_lr"`
	WarmupSteps      int       `json:"warmup_steps"` // linear, adamw only
	PolyExponent     float64   `json:"poly_exponent"`
	Momentum         float64   `json:"momentum"`
	WeightDecay      float64   `json:"weight_decay"`
	ClipNorm         float64   `json:"clip_norm"`
	ClassWeights     []float64 `json:"class_weights,omitempty"` // of cross-entropy, one a class; empty: all 1
	ForegroundPart   float64   `json:"oversample_foreground"`   // of a batch, nnU-Net: 0.33
	LabelledPart     float64   `json:"student_labelled_part"`   // of a student batch, the paper: 0.25
	TeacherAugment   string    `json:"teacher_augment"`         // teacher, student, nnunet or none
	StudentAugment   string    `json:"student_augment"`
	Mirror           string    `json:"mirror"`              // plain, laterality, left-right or none
	Precision        string    `json:"precision,omitempty"` // mixed, fp32, bf16, fp16 or exact
	StudentAllLabels bool      `json:"student_all_labels"`  // student and fine-tune see every labelled case, not the fold's training part
	// TimeBudget is what the epochs were fitted to, such as 2h0m0s; it decides nothing more.
	TimeBudget string `json:"time_budget,omitempty"`
	// WeightsEMA has models predict with an exponential moving average of their weights, taken after each epoch,
	// which keeps this part of what it was; 0: with the last weights.
	WeightsEMA float64 `json:"weights_ema,omitempty"`
}

// Pseudo says what a student learns from pseudo-labels. The zero value is the paper: from
// all of them, every voxel alike. The doubt about an organ of a case is the mean of its
// teachers' disagreement (1 - Agreement of predict.Doubt) and entropy, 0 to 1.
type Pseudo struct {
	// MinConfidence drops cases: mean probability of their foreground.
	MinConfidence float64 `json:"min_confidence,omitempty"`
	// DropPart leaves the most doubtful part of the pseudo-labels of each organ out: those
	// voxels are ignored. MaxDoubt leaves out what is doubted more; 0: whatever the doubt.
	DropPart float64 `json:"drop_part,omitempty"`
	MaxDoubt float64 `json:"max_doubt,omitempty"`
	// MaxDeviation leaves out organs whose size, or whose place as the other organs see it, is
	// more robust standard deviations from the median of all pseudo-labels.
	MaxDeviation float64 `json:"max_deviation,omitempty"`
	// MaxChange leaves out, from the second round on, organs of which a larger part (one minus
	// the DSC) is not as it was in the round before.
	MaxChange float64 `json:"max_change,omitempty"`
	// MinOrgans drops cases of whose organs less than this part is left.
	MinOrgans float64 `json:"min_organs,omitempty"`
	// MinVoxelConfidence ignores voxels whose label is less probable.
	MinVoxelConfidence float64 `json:"min_voxel_confidence,omitempty"`
	// WeighVoxels lets a voxel count as often as its label is probable.
	WeighVoxels bool `json:"weigh_voxels,omitempty"`
	// Soft has a voxel be its label as often as that is probable, and else the class that is the most probable
	// after it.
	Soft bool `json:"soft,omitempty"`
	// MoreRounds is how often the students of all folds become teachers and new ones begin.
	MoreRounds int `json:"more_rounds,omitempty"`
}

// ByVoxel tells whether training needs the confidence of each voxel.
func (p Pseudo) ByVoxel() bool { return p.MinVoxelConfidence > 0 || p.WeighVoxels || p.Soft }

// ByOrgan tells whether organs are chosen.
func (p Pseudo) ByOrgan() bool {
	return p.DropPart > 0 || p.MaxDoubt > 0 || p.MaxDeviation > 0 || p.MaxChange > 0
}

// ByDoubt tells whether it must be known where the teachers doubt.
func (p Pseudo) ByDoubt() bool { return p.ByOrgan() || p.ByVoxel() }

// Inference is how a model is applied.
type Inference struct {
	StepSize float64 `json:"step_size"` // of a tile, nnU-Net: 0.5
	Blend    string  `json:"blend"`     // logits or softmax
	Export   string  `json:"export"`    // labels or probabilities
	Mirror   string  `json:"mirror"`    // none, or axes such as x,y,z
	// Precision is mixed, fp32, bf16, fp16 or exact.
	Precision string `json:"precision,omitempty"`
	// Temperature divides logits before they become probabilities; 0: nothing does. The labels
	// of one model do not change.
	Temperature float64 `json:"temperature,omitempty"`
	// KeepLargest names the labels of which only the largest connected piece is kept (see
	// statistics.KeepLargest). Empty: nothing is removed, as in the paper.
	KeepLargest []string `json:"keep_largest,omitempty"`
	// Tiles says what is computed: all of a scan, the body, or the region of the body in which
	// the models see organs. The rest is taken for background.
	Tiles string `json:"tiles,omitempty"`
	// RegionScale is how many times the shortest edge of a voxel those of the thumbnail are in
	// which organs are looked for, RegionMarginMM what is computed around them too.
	RegionScale    float64 `json:"region_scale,omitempty"`
	RegionMarginMM float64 `json:"region_margin_mm,omitempty"`
}

// Classes returns the number of network outputs, background included.
func (p Plan) Classes() int { return len(p.Labels) + 1 }

// KeptLargest returns the ids of the labels that Inference.KeepLargest names.
func (p Plan) KeptLargest() []int {
	var ids []int
	for _, name := range p.Inference.KeepLargest {
		ids = append(ids, p.labelOf(name))
	}
	return ids
}

// labelOf returns the id of a label by its name, 0 where there is none.
func (p Plan) labelOf(name string) int {
	for _, l := range p.Labels {
		if l.Name == name {
			return l.ID
		}
	}
	return 0
}

// labelNames lists the labels for messages.
func (p Plan) labelNames() string {
	names := make([]string, len(p.Labels))
	for i, l := range p.Labels {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}
