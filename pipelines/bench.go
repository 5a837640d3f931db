package pipelines

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/efficiency"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// bench measures scans by one system. Each scan is labelled by `predict` in a process of
// its own, in a store of its own in which nothing was done before; that store has the
// system's plan and weights.
type bench struct {
	subject
	places map[string]int // cases by where their slices are
	folder string         // of the store; empty until the first scan
}

// measure labels one scan and tells what that took. A scan that the process refuses is
// a *cases.Fault.
func (b *bench) measure(ctx context.Context, c cases.Case) (efficiency.Measured, error) {
	input, err := b.input(c)
	if err != nil {
		return efficiency.Measured{}, err
	}
	if err := b.ready(ctx); err != nil {
		return efficiency.Measured{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return efficiency.Measured{}, fmt.Errorf("pipelines: efficiency: find this program: %w", err)
	}
	args, card := b.args(input), (func() int64)(nil)
	if b.card {
		address, err := freeAddress()
		if err != nil {
			return efficiency.Measured{}, err
		}
		args, card = append(args, "--metrics-addr", address), cardMemory("http://"+address+"/metrics")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	use, err := efficiency.Watch(cmd, card)
	if ctx.Err() != nil {
		return efficiency.Measured{}, ctx.Err()
	}
	if err != nil {
		return efficiency.Measured{}, &cases.Fault{Kind: cases.Unreadable, File: c.Image, Remedy: "mend what predict says, then run the command again", Err: fmt.Errorf("predict ended with %w: %s", err, lastLine(said.String()))}
	}
	return efficiency.Measured{System: b.System, Case: c.ID, Use: use}, nil
}

// input is what predict is told, so that it finds this scan and no other.
func (b *bench) input(c cases.Case) (string, error) {
	place, _, ok := dicom.Cut(c.Image)
	if !ok {
		return c.Image, nil
	}
	if b.places[place] > 1 {
		return "", &cases.Fault{Kind: cases.UnsupportedType, File: c.Image, Remedy: "give each series a folder of its own", Err: fmt.Errorf("%d series in one place cannot be measured apart", b.places[place])}
	}
	return strings.TrimSuffix(place, "/."), nil
}

// placesOf counts the DICOM series of each place.
func placesOf(list []cases.Case) map[string]int {
	places := map[string]int{}
	for _, c := range list {
		if place, _, ok := dicom.Cut(c.Image); ok {
			places[place]++
		}
	}
	return places
}

// args are those of predict.
func (b *bench) args(input string) []string {
	o := b.run.Options
	args := []string{"predict", "--store", b.folder, "--input", input, "--output", filepath.Join(b.folder, "labels"), "--model", b.model()}
	for _, f := range []struct{ flag, value string }{
		{"--device", o.Device}, {"--cpu", o.Kernels}, {"--precision", o.Precision}, {"--threads", number(int64(o.Threads))}, {"--memory", number(o.MemoryBytes)},
	} {
		if f.value != "" {
			args = append(args, f.flag, f.value)
		}
	}
	return args
}

// number is empty for 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// model is what predict calls the system's weights.
func (b *bench) model() string {
	switch len(b.models) {
	case 0:
		return "teacher/0"
	case 1:
		return fmt.Sprintf("%s/%d", b.models[0].Role, b.models[0].Fold)
	}
	return "ensemble"
}

// ready makes the store where there is none, and takes away what the scan before has left.
func (b *bench) ready(ctx context.Context) error {
	if b.folder != "" {
		for _, made := range []string{"ledger", "predictions", "report", "labels", "heaps"} {
			if err := os.RemoveAll(filepath.Join(b.folder, made)); err != nil {
				return fmt.Errorf("pipelines: efficiency: clear a store: %w", err)
			}
		}
		return nil
	}
	folder, err := os.MkdirTemp("", "noisystudent-efficiency-")
	if err != nil {
		return fmt.Errorf("pipelines: efficiency: make a store: %w", err)
	}
	b.folder = folder
	st, err := store.Open(ctx, folder)
	if err == nil {
		err = plan.Save(ctx, st, b.plan)
	}
	if err == nil {
		err = b.install(ctx, st)
	}
	return err
}

// install writes the weights into the store.
func (b *bench) install(ctx context.Context, st *store.Store) error {
	if len(b.models) == 0 {
		return fit.Install(ctx, st, fit.Teacher, 0, engine.Random(b.plan.Network, random.New(b.plan.Seed)), "random")
	}
	for _, m := range b.models {
		weights, err := fit.ReadTensors(ctx, b.run.store, m.Weights)
		if err == nil {
			err = fit.Install(ctx, st, m.Role, m.Fold, weights, m.Digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close takes the store away.
func (b *bench) close() {
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}

// freeAddress is a port of this machine that nobody has now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("pipelines: efficiency: find a port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// cardMemory asks /metrics of a process how many bytes its networks have on cards now; 0
// while it does not answer.
func cardMemory(url string) func() int64 {
	client := &http.Client{Timeout: 50 * time.Millisecond}
	return func() int64 {
		answer, err := client.Get(url)
		if err != nil {
			return 0
		}
		defer answer.Body.Close()
		var text bytes.Buffer
		if _, err := text.ReadFrom(answer.Body); err != nil {
			return 0
		}
		var sum float64
		for line := range strings.Lines(text.String()) {
			if strings.HasPrefix(line, "noisystudent_card_memory_bytes{") && strings.Contains(line, `which="now"`) {
				v, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
				sum += v
			}
		}
		return int64(sum)
	}
}

// lastLine of what a program has printed.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
