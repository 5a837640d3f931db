package efficiency

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// every is FLARE's distance of samples.
const every = 100 * time.Millisecond

// grace is how long a command that is interrupted may take to end.
const grace = 5 * time.Second

// Watch runs a command, which must have a context, to its end and samples what it takes.
// card, where it is not nil, tells how many bytes its networks have on cards now. An
// error is that of the command, which ends on an interrupt when its context is done.
func Watch(cmd *exec.Cmd, card func() int64) (Use, error) {
	return watch(cmd, card, "/proc", every)
}

func watch(cmd *exec.Cmd, card func() int64, s system, distance time.Duration) (Use, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	w := watcher{system: s, card: card, use: Use{Memory: "pss", Load: s.load()}, start: time.Now()}
	if err := cmd.Start(); err != nil {
		return Use{}, fmt.Errorf("efficiency: start %s: %w", cmd.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(distance)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.sample(cmd.Process.Pid)
		case err := <-ended:
			w.end(cmd.ProcessState)
			if err != nil && !errors.As(err, new(*exec.ExitError)) {
				err = fmt.Errorf("efficiency: wait for %s: %w", cmd.Path, err)
			}
			return w.use, err
		}
	}
}

type watcher struct {
	system  system
	card    func() int64
	start   time.Time
	cpu     float64 // seconds, at the last sample
	sharing sharing
	use     Use
}

func (w *watcher) sample(pid int) {
	pids := w.system.tree(pid)
	s := Sample{}
	s.RAM, w.use.Memory = w.sharing.memory(w.system, pids)
	var cpu float64
	for _, p := range pids {
		cpu += w.system.cpuSeconds(p)
	}
	if s.RAM == 0 && cpu == 0 { // it is ending
		return
	}
	if w.card != nil {
		s.GPU = w.card()
	}
	w.add(s, cpu)
}

// add completes a sample by the CPU seconds that the processes have taken until now.
func (w *watcher) add(s Sample, cpu float64) {
	s.At = time.Since(w.start).Seconds()
	before := 0.0
	if n := len(w.use.Samples); n > 0 {
		before = w.use.Samples[n-1].At
	}
	cpu = max(cpu, w.cpu) // children that were not waited for take theirs with them
	s.CPU = percent(cpu-w.cpu, s.At-before, processors)
	w.cpu, w.use.Samples = cpu, append(w.use.Samples, s)
}

// end adds what the command took since the last sample.
func (w *watcher) end(state *os.ProcessState) {
	w.add(Sample{}, (state.UserTime() + state.SystemTime()).Seconds())
	w.use.CPUSeconds = w.cpu
	w.use.Seconds = w.use.Samples[len(w.use.Samples)-1].At
	w.use.sum()
}
