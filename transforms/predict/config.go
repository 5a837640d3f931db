package predict

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"noisystudent/io/volume"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// Version of the transform: raised when its bytes change.
const Version = 1

// Config is everything that labels depend on beside the scan, and where they go.
type Config struct {
	Store  string     `json:"store"` // ledger and predictions
	Plan   plan.Plan  `json:"plan"`
	Models []ModelRef `json:"models"` // more than one: the mean of their softmax
	// Output, where it is not empty, is a folder or gs:// prefix that gets a copy.
	Output  string  `json:"output"`
	Options Options `json:"options"`
	// Doubts has Labels tell where the models doubt (Result.Doubt). Labels stay the same;
	// the host blends, so that on a card sums may differ in their last bits.
	Doubts bool `json:"doubts,omitempty"`

	digest string // of all that, where it is known
}

// Digest names the models and how they are applied. The rest of the plan, such as
// how long other roles are trained, is not in it.
func (c Config) Digest() string {
	if c.digest != "" {
		return c.digest
	}
	digests := make([]string, len(c.Models))
	for i, m := range c.Models {
		digests[i] = m.Digest
	}
	return manifest.Digest("predict", Version, resample.Digest(c.Plan), c.Plan.Network, c.Plan.PatchSize, c.Plan.Inference.Digested(), digests)
}

// Stage is the ledger's name of the work: one stage a model.
func (c Config) Stage() string { return "predict-" + c.Digest()[:12] }

// Key is where the labels of a case are stored: predictions/<model digest>/<case>.nii.gz.
func (c Config) Key(id string) string {
	return path.Join("predictions", c.Digest()[:12], id+".nii.gz")
}

// Passes is what a scan of a grid costs: how often a network runs over a tile of it,
// by each model and flip. The scan's margin, which preprocessing crops, counts too, and
// so does what inference.tiles leaves out: neither is known from a header.
func (c Config) Passes(g volume.Geometry) float64 {
	s, err := c.settings()
	if err != nil {
		return 0 // and the scan's own turn will tell
	}
	var shape [3]int
	passes := float64(len(c.Models))
	for a := range 3 {
		shape[a] = max(int(math.Round(min(float64(g.Shape[a])*g.Spacing[a]/c.Plan.Spacing[a], maxAxis))), s.Patch[a])
		if s.Mirror[a] {
			passes *= 2
		}
	}
	return passes * float64(patch.Count(shape, s.Patch, s.Step))
}

// maxAxis keeps a header that is nonsense from taking memory: it is refused in its turn.
const maxAxis = 4096

// settings are the plan's, checked.
func (c Config) settings() (Settings, error) {
	i := c.Plan.Inference
	s := Settings{Classes: c.Plan.Classes(), Patch: c.Plan.PatchSize, Step: i.StepSize, Softmax: i.Blend == "softmax", Temperature: float32(i.Temperature)}
	if len(c.Models) == 0 {
		return s, errors.New("predict: no model")
	}
	for _, m := range c.Models {
		if m.Digest == "" || m.Weights == "" {
			return s, fmt.Errorf("predict: a model without digest or weights: %+v", m)
		}
	}
	if i.Mirror == "" || i.Mirror == "none" {
		return s, nil
	}
	for _, axis := range strings.Split(i.Mirror, ",") {
		a := strings.Index("zyx", strings.TrimSpace(axis))
		if a < 0 || len(strings.TrimSpace(axis)) != 1 {
			return s, fmt.Errorf("predict: mirror %q; use none, or axes such as x,y,z", i.Mirror)
		}
		s.Mirror[a] = true
	}
	return s, nil
}
