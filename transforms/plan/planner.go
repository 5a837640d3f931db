package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
)

// Options of Make. The zero value plans the paper's network and inference.
type Options struct {
	Preset      string // student (default), low-footprint, nnunet, laptop or demo
	Orientation string // ras or stored, which must be the fingerprint's (default)
	Seed        uint64
	// Overrides sets fields by their path in plan.json, such as
	// "training.initial_lr": "0.02" or "patch_size": "32,96,96". A field that is
	// set keeps its value and what is derived from it follows: a patch of one's own
	// gets its own strides. Rules may stand for lists: features_per_stage
	// "16..320" (doubled up to a limit), kernel_sizes "1x3x3,3x3x3..", n_conv_per_stage and
	// n_conv_per_stage_decoder "1,2.." (what has dots as often as it takes), class_weights "frequency^-0.5".
	Overrides map[string]string
}

// Make plans a dataset from its fingerprint.
func Make(f fingerprint.Fingerprint, d *cases.Dataset, o Options) (Plan, error) {
	m, err := newPlanner(f, d, o)
	if err != nil {
		return Plan{}, err
	}
	m.choose("spacing", m.spacing)
	m.p.MedianShape = medianShape(f, m.p.Spacing)
	m.reason("median_image_size_in_voxels", "median of the scans, cropped to their non-zero box, at this spacing")
	m.choose("patch_size", m.patch)
	m.network()
	m.choose("architecture.features_per_stage", m.features)
	m.choose("batch_size", m.batch)
	m.choose("batch_dice", m.batchDice)
	m.choose("foreground_intensity_properties", m.intensity)
	m.choose("training.class_weights", m.classWeights)
	m.choose("inference.keep_largest", m.keepLargest)
	for _, path := range slices.Sorted(maps.Keys(m.given)) {
		m.choose(path, nil)
	}
	m.warnFewCases()
	m.warnAbsent()
	if m.err == nil && m.p.Orientation != m.taken {
		m.err = fmt.Errorf("orientation %s: the fingerprint was taken in %s; take it again in the one you want", m.p.Orientation, m.taken)
	}
	if m.err != nil {
		return Plan{}, fmt.Errorf("plan: make: %w", m.err)
	}
	return m.p, m.p.Check()
}

// planner holds the plan in the making. The first error stays.
type planner struct {
	p     Plan
	facts fingerprint.Fingerprint
	taken string             // orientation of the facts
	given map[string]setting // not yet applied
	err   error

	outputs int // network outputs as nnU-Net counts them for memory, with the ignore label
	net     topology
}

func newPlanner(f fingerprint.Fingerprint, d *cases.Dataset, o Options) (*planner, error) {
	if err := usable(f); err != nil {
		return nil, err
	}
	taken := orElse(f.Orientation, "stored") // nnU-Net's own file does not say
	m := &planner{facts: f, taken: taken, outputs: d.Classes(), p: Plan{
		Format: FormatVersion, DatasetName: d.Name, Preset: orElse(o.Preset, Student), Orientation: orElse(o.Orientation, taken),
		Labels: d.Labels, Ignore: d.Ignore, Seed: o.Seed, Reasons: map[string]string{},
	}}
	if m.p.Ignore >= 0 {
		m.outputs++
	}
	var err error
	m.given, err = settings(m.p.Preset, o.Overrides)
	m.reason("orientation", "as the fingerprint was taken: "+map[string]string{"ras": "every scan is turned to superior, anterior, right", "stored": "axes as the files store them, like nnU-Net"}[taken])
	m.reason("labels", "from dataset.json")
	m.reason("ignore_label", "from dataset.json; -1 is none")
	m.reason("training.time_budget", "none: epochs as planned; --time-budget fits them to hours")
	m.reason("seed", "of every random number: same seed, same model")
	m.reason("format", "of this file")
	m.reason("dataset_name", "from dataset.json")
	m.reason("preset", "chosen")
	return m, err
}

// usable checks what planning reads of a fingerprint, which may come from a file.
func usable(f fingerprint.Fingerprint) error {
	if len(f.Shapes) == 0 || len(f.Shapes) != len(f.Spacings) {
		return fmt.Errorf("plan: make: the fingerprint holds %d shapes and %d spacings; both must be there for every case", len(f.Shapes), len(f.Spacings))
	}
	for i := range f.Shapes {
		for a := range 3 {
			if s := f.Spacings[i][a]; !(s > 0.001 && s < 1000) || f.Shapes[i][a] < 1 {
				return fmt.Errorf("plan: make: case %d of the fingerprint has shape %v and spacing %v mm", i, f.Shapes[i], f.Spacings[i])
			}
		}
	}
	if _, ok := f.Intensity["0"]; !ok {
		return errors.New("plan: make: the fingerprint has no intensities of channel 0")
	}
	return nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (m *planner) reason(path, why string) { m.p.Reasons[path] = why }

// choose takes a field's value from the settings, if they give one, or derives it.
func (m *planner) choose(path string, derive func()) {
	s, ok := m.given[path]
	switch {
	case m.err != nil:
	case !ok:
		derive()
	default:
		delete(m.given, path)
		if m.err = m.apply(s); m.err == nil {
			m.reason(path, s.reason)
		}
	}
}

// apply writes a setting's value into the plan, rules included.
func (m *planner) apply(s setting) (err error) {
	value := s.value
	if base, limit, found := strings.Cut(value, ".."); found && s.path == "architecture.features_per_stage" {
		m.p.Network.Features, err = doubled(base, limit, m.p.Network.Stages())
		return err
	}
	if strings.Contains(value, "..") {
		switch n, net := m.p.Network.Stages(), &m.p.Network; s.path {
		case "architecture.kernel_sizes":
			return fill(&net.Kernels, s, n, kernel)
		case "architecture.n_conv_per_stage":
			return fill(&net.ConvsEncoder, s, n, strconv.Atoi)
		case "architecture.n_conv_per_stage_decoder":
			return fill(&net.ConvsDecoder, s, n-1, strconv.Atoi)
		}
	}
	if power, found := strings.CutPrefix(value, "frequency^"); found && s.path == "training.class_weights" {
		m.p.Training.ClassWeights, err = classWeights(m.facts.LabelML, power, m.p.Classes())
		return err
	}
	return setField(&m.p, s.path, value)
}

func (m *planner) spacing() {
	var why string
	m.p.Spacing, why = targetSpacing(m.facts)
	m.reason("spacing", why)
}

func (m *planner) patch() {
	t, why := fitPatch(m.p.Spacing, m.p.MedianShape, m.outputs)
	m.p.PatchSize = t.patch
	m.reason("patch_size", why)
}

func (m *planner) network() {
	m.net = pool(m.p.Spacing, floats(m.p.PatchSize))
	m.p.Network = m.net.spec(planFeatures, maxFeatures, m.p.Classes())
	for field, why := range architecture {
		m.reason("architecture."+field, why)
	}
	if m.net.patch != m.p.PatchSize && m.err == nil {
		m.err = fmt.Errorf("patch_size %v: its strides need multiples of %v, such as %v", m.p.PatchSize, m.net.divisor(), m.net.patch)
	}
}

// architecture says why the fields that the topology gives are as they are.
var architecture = map[string]string{
	"in_channels":              "one channel, CT",
	"num_classes":              "the labels and background",
	"strides":                  "nnU-Net: an axis is halved while it keeps 4 voxels and is not twice coarser than the finest",
	"kernel_sizes":             "nnU-Net: 1 along an axis that is still twice coarser than the finest, else 3",
	"n_conv_per_stage":         "nnU-Net",
	"n_conv_per_stage_decoder": "nnU-Net",
	"deep_supervision":         "nnU-Net: a loss at every resolution but the lowest",
}

func (m *planner) features() {
	m.reason("architecture.features_per_stage", "nnU-Net: 32, doubled per stage up to 320")
}

func (m *planner) batch() {
	m.p.BatchSize = fitBatch(m.net, m.outputs, product(m.p.MedianShape)*float64(len(m.facts.Shapes)))
	m.reason("batch_size", "what fits the memory reference, at most 5 % of the dataset's voxels, at least 2")
}

func (m *planner) batchDice() {
	m.p.BatchDice = wantsLowres(m.p.PatchSize, m.p.Spacing, m.p.MedianShape, m.outputs)
	m.reason("batch_dice", "nnU-Net sums Dice over the batch when the patch covers so little of a scan that it would also plan a low-resolution network")
}

func (m *planner) classWeights() {
	m.reason("training.class_weights", "none: every class counts the same")
}

func (m *planner) keepLargest() {
	m.reason("inference.keep_largest", "none: the paper does no post-processing")
}

func (m *planner) intensity() {
	c := m.facts.CT()
	m.p.Intensity = Intensity{Mean: c.Mean, SD: c.SD, P005: c.P005, P995: c.P995}
	m.reason("foreground_intensity_properties", "foreground HU of the labelled scans: clip to the percentiles, subtract the mean, divide by the standard deviation")
}

func (m *planner) warnFewCases() {
	if n, folds := len(m.facts.Shapes), m.p.Training.Folds; n < folds {
		m.p.Reasons["training.folds"] += fmt.Sprintf("; warning: only %d labelled cases, so fold k leaves out case k mod %d and folds share their cases", n, n)
		if n == 1 {
			m.p.Reasons["training.folds"] += ", and the one case both trains and validates"
		}
	}
}

// warnAbsent names labels that no voxel of the labelled cases has.
func (m *planner) warnAbsent() {
	var absent []string
	for _, l := range m.p.Labels {
		if l.ID < len(m.facts.LabelML) && m.facts.LabelML[l.ID] == 0 {
			absent = append(absent, l.Name)
		}
	}
	if len(absent) > 0 {
		m.p.Reasons["labels"] += fmt.Sprintf("; warning: no labelled case has %s, which no model can learn then; add a case that has it, or take it out of dataset.json", strings.Join(absent, ", "))
	}
}

// doubled gives features per stage: base, twice base, ... up to limit.
func doubled(base, limit string, stages int) ([]int, error) {
	b, err1 := strconv.Atoi(base)
	l, err2 := strconv.Atoi(limit)
	if err1 != nil || err2 != nil || b < 1 || l < b || l > 1024 {
		return nil, fmt.Errorf("architecture.features_per_stage %s..%s: want two numbers such as 16..320", base, limit)
	}
	features := make([]int, stages)
	for i := range features {
		features[i] = b
		b = min(2*b, l)
	}
	return features, nil
}

// fill reads a list of n items of which the one with two dots stands as often as it
// takes: "1,2.." is 1, 2, 2 and "2..,1" is 2, 2, 1.
func fill[T any](list *[]T, s setting, n int, parse func(string) (T, error)) error {
	if n < 1 { // no decoder, or a spacing that Check refuses
		return nil
	}
	items := strings.Split(s.value, ",")
	var out []T
	for _, item := range items {
		text, repeats := strings.CutSuffix(item, "..")
		v, err := parse(text)
		times := 1
		if repeats {
			times = n - len(items) + 1
		}
		if err != nil || times < 0 {
			return fmt.Errorf("%s %s: want %d items; one with two dots, such as 1x3x3.. or 2.., stands as often as it takes", s.path, s.value, n)
		}
		out = append(out, slices.Repeat([]T{v}, times)...)
	}
	if len(out) != n {
		return fmt.Errorf("%s %s: %d items, want %d", s.path, s.value, len(out), n)
	}
	*list = out
	return nil
}

// kernel reads a kernel size such as 1x3x3.
func kernel(text string) (k [3]int, err error) {
	parts := strings.Split(text, "x")
	if len(parts) != 3 {
		return k, fmt.Errorf("want three numbers, not %q", text)
	}
	for i, p := range parts {
		if k[i], err = strconv.Atoi(p); err != nil {
			return k, err
		}
	}
	return k, nil
}

// classWeights gives (volume of background / volume of class)^-power, between 1 and
// 50, to three decimals; a class that never occurs gets 1.
func classWeights(ml []float64, power string, classes int) ([]float64, error) {
	exponent, err := strconv.ParseFloat(power, 64)
	if err != nil || !(exponent < 0 && exponent >= -1) {
		return nil, fmt.Errorf("training.class_weights frequency^%s: want an exponent from -1 to 0, such as frequency^-0.5", power)
	}
	if len(ml) != classes {
		return nil, fmt.Errorf("training.class_weights frequency^%s: the fingerprint has volumes of %d classes, the plan %d; take the fingerprint again", power, len(ml), classes)
	}
	weights := make([]float64, classes)
	for c := range weights {
		weights[c] = 1
		if ml[c] > 0 && ml[0] > 0 {
			weights[c] = math.Round(min(max(math.Pow(ml[c]/ml[0], exponent), 1), 50)*1000) / 1000
		}
	}
	return weights, nil
}
