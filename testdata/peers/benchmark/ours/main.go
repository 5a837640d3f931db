// Command ours is our side of testdata/peers/bench. Its argument is a task as JSON;
// it prepares the task's work, says so with a line, and then does the work once for
// every line that it reads, or saves its result where the line is "save", answering
// with what it took. peer.py is the other side.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// task is what to do. Shapes are (z, y, x); Folder, where given, holds the network's
// weights and image and takes its logits (forward), takes the drawn parameters
// (augment) or what was made (the works of whole cases).
type task struct {
	Work      string // see works
	Precision string // exact, fp32 or bf16
	Threads   int
	Batch     int
	Patch     [3]int
	Features  []int
	Samples   int // patches that augment makes each time
	Folder    string

	// Of the works of whole cases. Files are local paths.
	Image, Labels, Prediction string
	Logits                    string // safetensors, a tensor (C, H, W) a plane
	Scan, Grid                [3]int // shapes of the scan and of the network's output
	Way                       string // export: labels or probabilities; score: arrays or files
}

// work is done again and again, and its last result may be saved to be compared.
type work struct {
	run  func() error
	save func() error // nil: nothing is compared
}

var works = map[string]func(task) (work, error){
	"forward": only(forward), "step": only(step), "augment": only(augmented),
	"preprocess": preprocessed, "export": exported, "score": scored, "store": stored,
}

func only(prepare func(task) (func() error, error)) func(task) (work, error) {
	return func(t task) (work, error) {
		run, err := prepare(t)
		return work{run: run}, err
	}
}

// answer is what one time took: seconds of the clock and of all threads together,
// and bytes of memory before the work was prepared and at most since then.
type answer struct {
	Wall float64 `json:"wall"`
	CPU  float64 `json:"cpu"`
	Base int64   `json:"base"`
	Peak int64   `json:"peak"`
}

func main() {
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

func serve(argument string) error {
	base := memory("VmRSS")
	var t task
	if err := json.Unmarshal([]byte(argument), &t); err != nil {
		return err
	}
	prepare, ok := works[t.Work]
	if !ok {
		return fmt.Errorf("work %q: have %q", t.Work, slices.Sorted(maps.Keys(works)))
	}
	runtime.GOMAXPROCS(t.Threads)
	w, err := prepare(t)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // the engine has copied the weights that it was given
	reply := json.NewEncoder(os.Stdout)
	if err := reply.Encode("ready"); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		do := w.run
		if lines.Text() == "save" {
			do = w.save
		}
		wall, cpu := time.Now(), cpuSeconds()
		if err := do(); err != nil {
			return err
		}
		a := answer{Wall: time.Since(wall).Seconds(), CPU: cpuSeconds() - cpu, Base: base, Peak: memory("VmHWM")}
		if err := reply.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func cpuSeconds() float64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano()).Seconds()
}

// memory reads a line of this process's status, in bytes; 0 where there is none.
func memory(field string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), field+":")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kb, _ := strconv.ParseInt(number, 10, 64)
	return kb << 10
}
