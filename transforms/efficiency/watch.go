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
	w := watcher{system: s, card: card, least: distance.Seconds() / 2, use: Use{Memory: "pss", Load: s.load()}, start: time.Now()}
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
	least   float64   // seconds between samples
	cpu     []float64 // seconds that were taken until each sample
	sharing sharing
	use     Use
}

func (w *watcher) sample(pid int) {
	pids := w.system.tree(pid)
	s := Sample{}
	s.RAM, w.use.Memory = w.sharing.memory(w.system, pids)
	if w.card != nil {
		s.GPU = w.card()
	}
	var cpu float64
	for _, p := range pids {
		cpu += w.system.cpuSeconds(p)
	}
	s.At = time.Since(w.start).Seconds()
	if s.RAM > 0 || cpu > 0 { // else it is ending
		w.add(s, cpu)
	}
}

// add takes a sample with the CPU seconds that the processes have taken until then. One
// that follows too soon, as when this process had to wait for a processor, takes the
// place of the one before: shares of a short time say nothing.
func (w *watcher) add(s Sample, cpu float64) {
	n := len(w.cpu)
	if n > 0 && s.At-w.use.Samples[n-1].At < w.least {
		n--
		s.RAM, s.GPU = max(s.RAM, w.use.Samples[n].RAM), max(s.GPU, w.use.Samples[n].GPU)
	}
	at, before := 0.0, 0.0
	if n > 0 {
		at, before = w.use.Samples[n-1].At, w.cpu[n-1]
	}
	cpu = max(cpu, before) // children that were not waited for take theirs with them
	s.CPU = percent(cpu-before, s.At-at, processors)
	w.cpu, w.use.Samples = append(w.cpu[:n], cpu), append(w.use.Samples[:n], s)
}

// end adds what the command took since the last sample.
func (w *watcher) end(state *os.ProcessState) {
	w.use.Seconds = time.Since(w.start).Seconds()
	w.add(Sample{At: w.use.Seconds}, (state.UserTime() + state.SystemTime()).Seconds())
	w.use.CPUSeconds = w.cpu[len(w.cpu)-1]
	w.use.sum()
}
