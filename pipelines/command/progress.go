package command

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"noisystudent/pipelines"
)

// logEvery is how often a line is printed where there is no terminal.
const logEvery = 10 * time.Second

// newProgress shows bars on a terminal and plain lines elsewhere.
func newProgress(w io.Writer) pipelines.Progress {
	f, isFile := w.(*os.File)
	return &progress{w: w, terminal: isFile && term.IsTerminal(int(f.Fd()))}
}

type progress struct {
	w        io.Writer
	terminal bool
}

func (p *progress) Note(text string) { fmt.Fprintln(p.w, text) }

func (p *progress) Stage(name string, total int64, unit string) pipelines.Meter {
	if p.terminal {
		return &bar{progressbar.NewOptions64(total,
			progressbar.OptionSetDescription(name), progressbar.OptionSetWriter(p.w),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(30), progressbar.OptionOnCompletion(func() { fmt.Fprintln(p.w) }))}
	}
	return &lines{w: p.w, name: name, unit: unit, total: total, start: time.Now(), printed: time.Now(), first: -1}
}

// bar is a stage on a terminal.
type bar struct{ b *progressbar.ProgressBar }

func (b *bar) At(done int64) { _ = b.b.Set64(done) } // a bar that cannot be drawn is no reason to stop
func (b *bar) End()          { _ = b.b.Finish() }

// lines is a stage in a log.
type lines struct {
	w              io.Writer
	name, unit     string
	total          int64
	mu             sync.Mutex
	first, done    int64 // first: what was done before this run, -1 until known
	start, printed time.Time
}

func (l *lines) At(done int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first < 0 {
		l.first = done
	}
	l.done = done
	if time.Since(l.printed) < logEvery {
		return
	}
	l.printed = time.Now()
	rate := float64(l.done-l.first) / time.Since(l.start).Seconds()
	left := "unknown"
	if rate > 0 {
		left = (time.Duration(float64(l.total-l.done)/rate) * time.Second).Round(time.Second).String()
	}
	fmt.Fprintf(l.w, "%s: %d of %d %ss, %.2f %ss/s, %s left\n", l.name, l.done, l.total, l.unit, rate, l.unit, left)
}

func (l *lines) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%s: %d of %d %ss in %s\n", l.name, l.done, l.total, l.unit, time.Since(l.start).Round(100*time.Millisecond))
}
