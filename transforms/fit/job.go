package fit

import (
	"fmt"

	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// Role is what a model is for. All roles are one type of model.
type Role string

const (
	Teacher   Role = "teacher"
	Student   Role = "student"
	Finetuned Role = "finetuned"
	// Control is trained on the labelled cases alone, for as many steps as student
	// and fine-tune together: what the student must beat.
	Control Role = "control"
)

// Ref names one prepared case of a job.
type Ref struct {
	Case     string `json:"case"`
	Prepared string `json:"prepared"` // store key of its preprocessed group
	Labels   string `json:"labels"`   // store key of a pseudo-label group, or empty: its own labels
	Digest   string `json:"digest"`   // of what the two hold
	// Certain is the store key of the probability of each pseudo-label, Second that of the class that is the
	// most probable after it, or empty.
	Certain string `json:"certain,omitempty"`
	Second  string `json:"second,omitempty"`
	// Ignored are labels whose voxels do not count.
	Ignored []uint8 `json:"ignored,omitempty"`
}

// Job is one model to train: the element of the training transform.
type Job struct {
	Role     Role      `json:"role"`
	Fold     int       `json:"fold"`
	Store    string    `json:"store"`
	Plan     plan.Plan `json:"plan"`
	Epochs   int64     `json:"epochs"`
	Labelled []Ref     `json:"labelled"`
	Pseudo   []Ref     `json:"pseudo"` // none: labelled batches only
	// Validation is what the pseudo-DSC is measured on: labelled cases that the job does not
	// train on, or none. The weights do not depend on it.
	Validation []Ref   `json:"validation,omitempty"`
	Augment    string  `json:"augment"`
	Rate       float64 `json:"rate"` // initial learning rate
	// Init is the store key of the weights to start from, or empty: He-normal from Seed.
	Init       string `json:"init"`
	InitDigest string `json:"init_digest"`
	Seed       uint64 `json:"seed"`
	// Inputs is the digest of everything that decides the weights, see Sealed. A
	// checkpoint made from other inputs is refused, not continued.
	Inputs string `json:"inputs"`
}

// Sealed returns the job with Inputs filled in.
func (j Job) Sealed() Job {
	digests := func(refs []Ref) []string {
		out := make([]string, len(refs))
		for i, r := range refs {
			out[i] = r.Case + " " + r.Digest
			if len(r.Ignored) > 0 {
				out[i] += fmt.Sprint(" without ", r.Ignored)
			}
		}
		return out
	}
	j.Inputs = manifest.Digest("fit", version, j.decisions().TrainingDigest(), j.Role, j.Fold, j.Epochs,
		j.Seed, j.Augment, j.Rate, digests(j.Labelled), digests(j.Pseudo), j.InitDigest)
	return j
}

// decisions is the plan without what the job says itself, and without what is for
// other roles: a longer student does not make its teachers stale.
func (j Job) decisions() plan.Plan {
	p := j.Plan
	p.Seed = 0
	t := &p.Training
	t.Folds, t.TeacherEpochs, t.StudentEpochs, t.FinetuneEpochs = 0, 0, 0, 0
	t.LearningRate, t.FinetuneRate, t.TeacherAugment, t.StudentAugment = 0, 0, "", ""
	t.StudentAllLabels = false
	p.Pseudo = plan.Pseudo{MinVoxelConfidence: p.Pseudo.MinVoxelConfidence, WeighVoxels: p.Pseudo.WeighVoxels, Soft: p.Pseudo.Soft} // the cases say what came of the rest
	if len(j.Pseudo) == 0 {
		t.LabelledPart, p.Pseudo = 0, plan.Pseudo{}
	}
	return p
}

// ignore is the label that does not count, -1 for none: the data set's, or the next one
// where pseudo-labels are doubted.
func (j Job) ignore() int {
	if j.Plan.Pseudo.ByVoxel() && len(j.Pseudo) > 0 {
		return j.Plan.Classes()
	}
	for _, r := range j.Pseudo {
		if len(r.Ignored) > 0 {
			return j.Plan.Classes()
		}
	}
	return j.Plan.Ignore
}

// Name is how people call the job: "teacher fold 2".
func (j Job) Name() string { return fmt.Sprintf("%s fold %d", j.Role, j.Fold) }

// Folder is the job's place in the store.
func (j Job) Folder() string { return Folder(j.Role, j.Fold) }

// Folder returns the place of a model in the store: models/<role>/fold_<k>.
func Folder(role Role, fold int) string { return fmt.Sprintf("models/%s/fold_%d", role, fold) }

// Steps returns the number of optimiser updates of the whole job.
func (j Job) Steps() int64 { return j.Epochs * int64(j.Plan.Training.StepsPerEpoch) }
