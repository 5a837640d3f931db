package pipelines

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"noisystudent/model/compile"
	"noisystudent/model/device"
	"noisystudent/model/engine"
	"noisystudent/model/program"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

// networks is the memory that a plan's networks take where they are computed, in bytes:
// of the card, where one computes, else of the machine.
type networks struct {
	device  string
	reduced []string // precisions of 16 bits that are worth while, the best for labels first
	train   int64    // a training step
	infer   int64    // an inference tile
	onCard  bool
	card    int64                  // memory that is free on the card; 0: no card, or one of another machine
	blend   func(models int) int64 // of the card, to blend a case of the plan's median size
	passed  string                 // why auto took no card
}

// measure places a plan's programs without running them: milliseconds.
func measure(p plan.Plan, o Options) (networks, error) {
	open := engine.Open
	if !o.Runner.Local() { // the devices are the workers', which need not be like this machine's
		o.Kernels, open = "", engine.Elsewhere
	}
	e, err := open(engine.Options{Device: o.Device, Threads: o.Threads, Kernels: o.Kernels})
	if err != nil {
		return networks{}, err
	}
	defer e.Close()
	n := networks{device: e.Name(), onCard: e.OnCard()}
	for _, r := range e.Reduced() {
		n.reduced = append(n.reduced, plan.PrecisionName(r))
	}
	if e.Passed() != nil {
		n.passed = e.Passed().Error()
	}
	if n.card, err = e.Free(); err != nil {
		return networks{}, err
	}
	rule := program.SGD
	if p.Training.Optimizer == "adamw" {
		rule = program.AdamW
	}
	train, _, err := compile.Train(p.Network, p.BatchSize, p.PatchSize, compile.LossConfig{BatchDice: p.BatchDice, Ignore: p.Ignore}, rule, float32(p.Training.ClipNorm))
	if err != nil {
		return networks{}, err
	}
	infer, _, err := compile.Infer(p.Network, 1, p.PatchSize)
	if err != nil {
		return networks{}, err
	}
	if train.Precision, err = plan.ParsePrecision(p.Training.Precision); err != nil {
		return networks{}, err
	}
	if infer.Precision, err = plan.ParsePrecision(p.Inference.Precision); err != nil {
		return networks{}, err
	}
	if n.train, err = e.Place(train); err != nil {
		return networks{}, err
	}
	n.infer, err = e.Place(infer)
	n.blend = func(models int) int64 {
		b := device.Blend{Models: models, Softmax: p.Inference.Blend == "softmax", Scores: p.Inference.Export == "probabilities"}
		for a := range b.Size {
			b.Size[a] = max(int(math.Ceil(p.MedianShape[1+a])), p.PatchSize[1+a])
		}
		return e.BlendBytes(p.Classes(), p.PatchSize, b)
	}
	return n, err
}

// PlannedMemory says for people what a plan's networks take in memory on this machine.
func PlannedMemory(p plan.Plan, o Options) (string, error) {
	n, err := measure(p, o)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("memory on %s: %d MiB for a training step of batch %d, %d MiB for an inference tile\n",
		n.device, n.train>>20, p.BatchSize, n.infer>>20), nil
}

// share says how many pieces of work are done at once, each with a network of its own:
// as many as there are threads, for small networks run best with one each, or only as
// many as the memory holds. Few pieces that are equally long are all done at once where
// it holds them, so that they end together and no thread is idle for the last one. rest
// is what is left for cases, at least a quarter. The error of a network that is too
// large is errNoRoom.
func (r *run) share(work int, few bool, network int64) (at int, rest int64, err error) {
	budget := r.memory()
	if !r.networks.hold(network, budget) {
		return 0, 0, errNoRoom
	}
	if r.networks.onCard {
		return r.shareCard(work, few, r.networks.card/max(network, 1)), budget, nil
	}
	room := int(budget / 4 * 3 / max(network, 1))
	if n := r.Runner.AtOnce(); n > 0 {
		work = min(work, n)
	} else if !r.Runner.Local() {
		work = 1
	}
	at = min(work, room)
	if n := r.threads(); n > 0 && !(few && work <= room) { // 0: it is the workers' matter
		at = min(at, n)
	}
	at = max(at, 1)
	return at, max(budget-int64(at)*network, budget/4), nil
}

// shareCard says how many of room networks are on a card at once. It computes one after
// the other: jobs that train, which make their patches ahead, gain nothing by company, a
// case that is labelled leaves the card idle while its planes are finished.
func (r *run) shareCard(work int, train bool, room int64) int {
	if train || r.Runner.AtOnce() == 1 {
		return 1
	}
	return max(min(work, 2, int(room)), 1)
}

// measured is measure of the run's plan, once.
func (r *run) measured() (n networks, err error) {
	if r.networks.device != "" {
		return r.networks, nil
	}
	if r.networks, err = measure(r.plan, r.Options); err != nil {
		return networks{}, err
	}
	forced := r.Kernels != "" || os.Getenv("NOISYSTUDENT_CPU") != ""
	for _, text := range r.networks.remarks(r.plan, forced) {
		r.progress.Note(text)
	}
	return r.networks, nil
}

// remarks say what people would not expect of the device; forced is whether they chose
// its kernels.
func (n networks) remarks(p plan.Plan, forced bool) (list []string) {
	for _, precision := range []string{plan.BF16, plan.FP16} {
		if asked := p.Training.Precision == precision || p.Inference.Precision == precision; asked && !slices.Contains(n.reduced, precision) {
			list = append(list, fmt.Sprintf("precision %s: %s has no %s and computes in fp32", precision, n.device, precision))
		}
	}
	if n.onCard {
		for _, asked := range []string{p.Training.Precision, p.Inference.Precision} {
			if asked == plan.FP32 || asked == plan.Exact {
				list = append(list, fmt.Sprintf("precision %s: %s computes it without tensor cores, slowly, to find errors by; --precision %s computes in fp16, for training with --replan", asked, n.device, plan.Mixed))
				break
			}
		}
	}
	if n.passed != "" && cardHere() {
		list = append(list, fmt.Sprintf("device auto: %s computes, for no card is taken: %s", n.device, n.passed))
	}
	if strings.Contains(n.device, "generic") && !forced {
		list = append(list, fmt.Sprintf("%s: no AVX2 here, so networks run in plain Go, some 25 times slower; `noisystudent doctor` says more", n.device))
	}
	return list
}

// cardHere tells whether this machine has a driver of NVIDIA's. Where it has none, it is
// no news that the CPU computes.
func cardHere() bool {
	_, err := os.Stat("/dev/nvidiactl")
	return err == nil
}

// fitOptions is how this machine trains jobs. They are not validated while they train
// where the memory does not hold a tile beside a step.
func (r *run) fitOptions(jobs []fit.Job) (fit.Options, error) {
	n, err := r.measured()
	if err != nil {
		return fit.Options{}, err
	}
	network := n.train
	if slices.ContainsFunc(jobs, func(j fit.Job) bool { return len(j.Validation) > 0 }) {
		network += n.infer
	}
	if network > n.train && n.hold(n.train, r.memory()) && !n.hold(network, r.memory()) {
		r.once("train: no pseudo-DSC and no best checkpoint, for the memory holds no tile beside a training step; training is the same")
		for i := range jobs {
			jobs[i].Validation = nil
		}
		network = n.train
	}
	at, rest, err := r.share(len(jobs), true, network)
	err = r.noRoom(err, "a training step", func(n networks) int64 { return n.train })
	return fit.Options{Device: r.Device, Kernels: r.Kernels, Threads: r.threads(), Jobs: at, Memory: rest, Whole: r.Runner.Whole()}, err
}

// predictOptions is how this machine labels that many cases by so many models each.
func (r *run) predictOptions(cases, models int) (predict.Options, error) {
	n, err := r.measured()
	if err != nil {
		return predict.Options{}, err
	}
	network := n.infer
	if n.onCard {
		network += r.sums(models)
	}
	at, rest, err := r.share(cases, false, network)
	err = r.noRoom(err, "an inference tile", func(n networks) int64 { return n.infer })
	return predict.Options{Device: r.Device, Kernels: r.Kernels, Threads: r.threads() / max(at, 1), Networks: at, Memory: rest}, err
}

// sums is the memory of the card that blending a case of the plan's median size takes
// beside the network, 0 where the card does not hold both: then the host blends, whose
// memory for that is counted with each case anyway. So it does for any larger case that
// finds no room when its turn comes, see predict.Segment.
func (r *run) sums(models int) int64 {
	n := r.networks
	blend := n.blend(models)
	if n.card == 0 || n.infer+blend <= n.card {
		return blend
	}
	if n.infer <= n.card {
		r.once(fmt.Sprintf("%s: an inference tile takes %d MiB and blending a case of the median size %d MiB more, %d MiB are free; the host blends such cases", n.device, n.infer>>20, blend>>20, n.card>>20))
	}
	return 0
}
