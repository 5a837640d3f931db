package fit

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/transforms/augment"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/plan"
)

// session is a job in training: its network in the device's memory and its
// patches under way. It goes from epoch to epoch; its checkpoint is always the
// state after the last epoch of its history.
type session struct {
	checkpoint
	job     Job
	options Options
	store   *store.Store
	engine  *engine.Engine
	trainer *engine.Trainer
	loader  *patch.Loader
	cancel  context.CancelFunc

	validator validator
}

// newSession readies a job at a checkpoint.
func newSession(ctx context.Context, st *store.Store, j Job, o Options, c checkpoint) (*session, error) {
	s := &session{checkpoint: c, job: j, options: o, store: st}
	if err := s.ready(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("fit: %s: %w", j.Name(), err)
	}
	return s, nil
}

func (s *session) ready(ctx context.Context) error {
	config, err := trainConfig(s.job)
	if err != nil {
		return err
	}
	if s.engine, err = engine.Open(engine.Options{Device: s.options.Device, Threads: s.options.Threads, Kernels: s.options.Kernels}); err != nil {
		return err
	}
	if s.trainer, err = s.engine.NewTrainer(config); err != nil {
		return err
	}
	if err = s.start(ctx); err != nil {
		return err
	}
	s.state = engine.State{} // the trainer has it now
	return s.load(ctx)
}

// load begins to make the patches of the steps to come.
func (s *session) load(ctx context.Context) (err error) {
	table, err := s.table()
	if err != nil {
		return err
	}
	// The loader outlives the bundle that makes it, so it has a context of its own.
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	share := s.options.Memory / int64(max(s.options.Jobs, 1))
	workers := s.options.Threads
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	cases := share * 3 / 4
	if len(s.job.Validation) > 0 {
		cases -= share / 8 // the validator's
	}
	cache := patch.NewCache(s.open, cases)
	done := int64(len(s.history)) * int64(s.job.Plan.Training.StepsPerEpoch)
	s.loader, err = patch.NewLoader(ctx, s.sampler(), table, cache.Open, done, s.job.Steps(),
		patch.Options{Workers: workers, BudgetBytes: share / 4})
	return err
}

// start gives the network its weights: the checkpoint's, those the job starts
// from, or fresh ones.
func (s *session) start(ctx context.Context) error {
	if len(s.history) > 0 {
		return s.trainer.Restore(s.state)
	}
	if s.job.Init == "" {
		return s.trainer.Init(random.New(s.job.Seed, random.Key(string(s.job.Role)), uint64(s.job.Fold), random.Key("weights")))
	}
	weights, err := ReadTensors(ctx, s.store, s.job.Init)
	if err != nil {
		return err
	}
	return s.trainer.Restore(engine.State{Weights: weights})
}

// trainConfig translates the plan for the engine.
func trainConfig(j Job) (engine.TrainConfig, error) {
	p, t := j.Plan, j.Plan.Training
	c := engine.TrainConfig{
		Spec: p.Network, Patch: p.PatchSize, Batch: p.BatchSize,
		BatchDice: p.BatchDice, Ignore: j.ignore(), ClipNorm: float32(t.ClipNorm),
	}
	var err error
	if c.Precision, err = plan.ParsePrecision(t.Precision); err != nil {
		return c, err
	}
	for _, w := range t.ClassWeights {
		c.ClassWeights = append(c.ClassWeights, float32(w))
	}
	switch t.Optimizer {
	case "sgd":
		c.Rule = program.SGD
	case "adamw":
		c.Rule = program.AdamW
	default:
		return c, fmt.Errorf("optimizer %q in the plan; use sgd or adamw", t.Optimizer)
	}
	c.Hyper = optim.Default(c.Rule)
	c.Hyper.WeightDecay = t.WeightDecay
	if c.Rule == program.SGD {
		c.Hyper.Momentum = t.Momentum
	}
	return c, nil
}

// table is the augmentation of the job's role, with the plan's mirroring.
func (s *session) table() (augment.Table, error) {
	t, err := augment.Lookup(s.job.Augment)
	if err != nil {
		return t, err
	}
	return t.WithMirror(s.job.Plan.Training.Mirror, s.job.Plan.Orientation, s.job.Plan.Labels)
}

func (s *session) sampler() patch.Sampler {
	p, t := s.job.Plan, s.job.Plan.Training
	return patch.Sampler{
		Seed: s.job.Seed, Role: string(s.job.Role), Fold: s.job.Fold,
		Patch: p.PatchSize, BatchSize: p.BatchSize, StepsPerEpoch: t.StepsPerEpoch,
		Labelled: len(s.job.Labelled), Pseudo: len(s.job.Pseudo),
		LabelledPart: t.LabelledPart, ForegroundPart: t.ForegroundPart, Ignore: p.Ignore >= 0,
		Doubt: patch.Doubt{Least: p.Pseudo.MinVoxelConfidence, Weigh: p.Pseudo.WeighVoxels, Soften: p.Pseudo.Soft, Ignored: uint8(p.Classes())},
	}
}

// train makes the steps of one epoch and fills its record.
func (s *session) train(ctx context.Context, e *Epoch) error {
	// Whoever waits for a patch must not wait on when the bundle is stopped.
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	steps := s.job.Plan.Training.StepsPerEpoch
	e.Rate = s.rate(e.Epoch * int64(steps))
	start, waited := time.Now(), s.loader.Waited()
	counted, err := s.steps(ctx, e, steps)
	if err != nil {
		return err
	}
	e.mean(counted)
	took := max(time.Since(start).Seconds(), 1e-9)
	e.Samples = float64(steps*s.job.Plan.BatchSize) / took
	e.Waited = (s.loader.Waited() - waited).Seconds() / took
	if !stop() {
		return ctx.Err() // the loader is gone
	}
	return nil
}

// steps makes the first n steps of an epoch, sums them up in its record and counts those
// that are in the sums.
func (s *session) steps(ctx context.Context, e *Epoch, n int) (counted int, err error) {
	first := e.Epoch * int64(s.job.Plan.Training.StepsPerEpoch)
	feed := func() ([]float32, []uint8, error) {
		b, err := s.loader.Next()
		return b.Images, b.Labels, err
	}
	rate := func(i int) float64 { return s.rate(first + int64(i)) }
	err = s.trainer.Steps(ctx, n, feed, rate, func(i int, r engine.StepResult) {
		if r.Skipped {
			slog.WarnContext(ctx, "fit: a step is skipped, its gradient is not finite", "job", s.job.Name(), "step", first+int64(i), "loss", r.Loss, "loss scale", r.Scale)
		}
		if e.add(r) {
			counted++
		}
	})
	return counted, err
}

// add sums a step up, unless it was skipped.
func (e *Epoch) add(r engine.StepResult) bool {
	if r.Skipped {
		e.Skipped++
		return false
	}
	e.Loss += r.Loss
	e.Dice += r.Dice
	e.CE += r.CE
	e.GradNorm += r.GradNorm
	return true
}

// mean turns the sums into means.
func (e *Epoch) mean(steps int) {
	n := float64(max(steps, 1))
	e.Loss, e.Dice, e.CE, e.GradNorm = e.Loss/n, e.Dice/n, e.CE/n, e.GradNorm/n
}

// rate is the learning rate of a step: nnU-Net's polynomial decay by epoch, or by
// step after a linear warm-up where the plan has one.
func (s *session) rate(step int64) float64 {
	t := s.job.Plan.Training
	if t.WarmupSteps == 0 {
		return optim.Poly(int(step/int64(t.StepsPerEpoch)), int(s.job.Epochs), s.job.Rate, t.PolyExponent)
	}
	return optim.WarmUp(step, int64(t.WarmupSteps), optim.Poly(int(step), int(s.job.Steps()), s.job.Rate, t.PolyExponent))
}

// close gives back what the session holds. What is not in a checkpoint is lost.
func (s *session) close() {
	if s.cancel != nil {
		s.cancel()
	}
	if s.loader != nil {
		s.loader.Close()
	}
	s.validator.close()
	if s.trainer != nil {
		s.trainer.Close()
	}
	if s.engine != nil {
		s.engine.Close()
	}
}
