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
	m := &meter{w: p.w, name: name, unit: unit, total: total, start: time.Now()}
	if p.terminal {
		return &bar{meter: m}
	}
	return &lines{meter: m, printed: m.start}
}

// meter is what both kinds know of a stage.
type meter struct {
	w          io.Writer
	name, unit string
	total      int64
	start      time.Time
	mu         sync.Mutex
	met        bool
	first      int64 // what was done before this run
}

// at takes the first count as what was there before.
func (m *meter) at(done int64) {
	if !m.met {
		m.met, m.first = true, done
	}
}

func (m *meter) end(summary string) {
	fmt.Fprintf(m.w, "%s: %s, %s\n", m.name, summary, time.Since(m.start).Round(100*time.Millisecond))
}

// bar is a stage on a terminal. It counts what is left to do, so that rate and time
// left are those of this run.
type bar struct {
	*meter
	b *progressbar.ProgressBar
}

func (b *bar) At(done int64, pace string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(done)
	if b.first >= b.total {
		return // nothing to do, nothing to draw
	}
	name := b.name
	if b.first > 0 {
		name = fmt.Sprintf("%s (%d done before)", b.name, b.first)
	}
	name += after(", ", pace)
	if b.b == nil {
		b.b = progressbar.NewOptions64(b.total-b.first,
			progressbar.OptionSetDescription(name), progressbar.OptionSetWriter(b.w), progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(b.unit+"s"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30))
	}
	_ = b.b.Set64(max(done-b.first, 0)) // a bar that cannot be drawn is no reason to stop
	b.b.Describe(name)
}

// End puts a line in the place of the bar.
func (b *bar) End(summary string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.b != nil {
		_ = b.b.Clear()
	}
	b.end(summary)
}

// after puts a mark before a text that is not empty.
func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// lines is a stage in a log.
type lines struct {
	*meter
	printed time.Time
}

func (l *lines) At(done int64, pace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at(done)
	if time.Since(l.printed) < logEvery {
		return
	}
	l.printed = time.Now()
	rate := float64(done-l.first) / time.Since(l.start).Seconds()
	left := "unknown"
	if rate > 0 {
		left = time.Duration(float64(l.total-done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	fmt.Fprintf(l.w, "%s: %d of %d %ss, %.2f %ss/s, %s left%s\n", l.name, done, l.total, l.unit, rate, l.unit, left, after(", ", pace))
}

func (l *lines) End(summary string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(summary)
}
