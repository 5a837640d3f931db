// Command ours is our side of testdata/peers/bench. Its argument is a task as JSON;
// it prepares the task's work, says so with a line, and then does the work once for
// every line that it reads, answering with what it took. peer.py is the other side.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// task is what to do. Patch is (z, y, x); Folder, where given, holds the network's
// weights and image and takes its logits (forward), or takes the drawn parameters
// (augment).
type task struct {
	Work      string // forward, step or augment
	Precision string // exact, fp32 or bf16
	Threads   int
	Batch     int
	Patch     [3]int
	Features  []int
	Samples   int // patches that augment makes each time
	Folder    string
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
	prepare, ok := map[string]func(task) (func() error, error){"forward": forward, "step": step, "augment": augmented}[t.Work]
	if !ok {
		return fmt.Errorf("work %q: have forward, step and augment", t.Work)
	}
	runtime.GOMAXPROCS(t.Threads)
	work, err := prepare(t)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // the engine has copied the weights that it was given
	reply := json.NewEncoder(os.Stdout)
	if err := reply.Encode("ready"); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		wall, cpu := time.Now(), cpuSeconds()
		if err := work(); err != nil {
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
