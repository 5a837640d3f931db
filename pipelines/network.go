package pipelines

import (
	"fmt"
	"os"
	"strings"

	"noisystudent/model/compile"
	"noisystudent/model/cpu"
	"noisystudent/model/engine"
	"noisystudent/model/program"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

// networks is the memory that a plan's networks take on this machine's CPU, in bytes.
type networks struct {
	device string
	half   bool  // bf16 is worth while
	train  int64 // a training step
	infer  int64 // an inference tile
}

// measure places a plan's programs without running them: milliseconds.
func measure(p plan.Plan, o Options) (networks, error) {
	if !o.Runner.Local() {
		o.Kernels = "" // those are the workers', not this machine's
	}
	e, err := engine.Open(engine.Options{Device: o.Device, Threads: o.Threads, Kernels: o.Kernels})
	if err != nil {
		return networks{}, err
	}
	defer e.Close()
	d, err := cpu.Open(cpu.Options{Threads: o.Threads, Kernels: o.Kernels})
	if err != nil {
		return networks{}, err
	}
	defer d.Close()
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
	for _, q := range []*program.Program{train, infer} {
		if err := compile.Place(q, d); err != nil {
			return networks{}, err
		}
	}
	return networks{d.Name(), e.Half(), compile.Memory(train).Arena, compile.Memory(infer).Arena}, nil
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
	if !holds(network, budget) {
		return 0, 0, errNoRoom
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

// measured is measure of the run's plan, once.
func (r *run) measured() (n networks, err error) {
	if r.networks != (networks{}) {
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
	if asked := p.Training.Precision == plan.BF16 || p.Inference.Precision == plan.BF16; asked && !n.half {
		list = append(list, fmt.Sprintf("precision bf16: %s has no bf16 and computes in fp32", n.device))
	}
	if strings.Contains(n.device, "generic") && !forced {
		list = append(list, fmt.Sprintf("%s: no AVX2 here, so networks run in plain Go, some 25 times slower; `noisystudent doctor` says more", n.device))
	}
	return list
}

// fitOptions is how this machine trains that many jobs.
func (r *run) fitOptions(jobs int) (fit.Options, error) {
	n, err := r.measured()
	if err != nil {
		return fit.Options{}, err
	}
	at, rest, err := r.share(jobs, true, n.train)
	err = r.noRoom(err, "a training step", func(n networks) int64 { return n.train })
	return fit.Options{Device: r.Device, Kernels: r.Kernels, Threads: r.threads(), Jobs: at, Memory: rest, Whole: r.Runner.Whole()}, err
}

// predictOptions is how this machine labels that many cases.
func (r *run) predictOptions(cases int) (predict.Options, error) {
	n, err := r.measured()
	if err != nil {
		return predict.Options{}, err
	}
	at, rest, err := r.share(cases, false, n.infer)
	err = r.noRoom(err, "an inference tile", func(n networks) int64 { return n.infer })
	return predict.Options{Device: r.Device, Kernels: r.Kernels, Threads: r.threads() / max(at, 1), Networks: at, Memory: rest}, err
}
