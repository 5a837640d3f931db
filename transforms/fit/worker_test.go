package fit

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"

	"noisystudent/io/store"
)

// asPool makes this test binary a pool of workers for an EXTERNAL environment.
const asPool = "FIT_TEST_POOL"

func servePool() {
	p, err := extworker.StartLoopback(context.Background(), 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(p.EnvironmentConfig(context.Background()))
	select {}
}

// pool starts workers in a process of their own.
func pool(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), asPool+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the pool does not say where it is")
	}
	return cmd, lines.Text()
}

// inFolder copies prepared jobs to a folder, which other processes see.
func inFolder(t *testing.T, from *store.Store, list ...Job) (*store.Store, []Job) {
	t.Helper()
	to, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	infos, err := from.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		data, err := from.Read(t.Context(), i.Key)
		if err == nil {
			err = to.Write(t.Context(), i.Key, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var out []Job
	for _, j := range list {
		j.Store = to.Root()
		out = append(out, j)
	}
	return to, out
}

// external makes pipelines run in a pool of workers instead of in this process.
func external(t *testing.T, address string) {
	t.Helper()
	nothing := filepath.Join(t.TempDir(), "worker") // else Beam builds a binary to stage
	if err := os.WriteFile(nothing, []byte("unused"), 0o666); err != nil {
		t.Fatal(err)
	}
	for flag, value := range map[*string]string{jobopts.EnvironmentType: "EXTERNAL", jobopts.EnvironmentConfig: address, jobopts.WorkerBinary: nothing} {
		old := *flag
		*flag = value
		t.Cleanup(func() { *flag = old })
	}
}

// longer gives jobs epochs that last long enough to be killed in.
func longer(list []Job) []Job {
	for i := range list {
		list[i].Plan.Training.StepsPerEpoch, list[i].Epochs = 8, 24
		list[i] = list[i].Sealed()
	}
	return list
}

// TestKilledWorker kills a worker process of its own, at random moments, while the
// submitting process lives on: the job fails or is cancelled, and the next one goes on
// from the checkpoints.
func TestKilledWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("processes of its own: not with -short")
	}
	plain, list := jobs(t, 2)
	list = longer(list)
	for _, j := range list {
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
	}
	fresh, again := jobs(t, 2)
	st, again := inFolder(t, fresh, longer(again)...)
	draw := rand.New(rand.NewPCG(1, 0))
	const kills = 5
	done := int64(0)
	for life := range kills + 1 {
		worker, address := pool(t)
		external(t, address)
		p, s := beam.NewPipelineWithRoot()
		Jobs(s, Options{Device: "ref", Threads: 1, Jobs: 2}, beam.CreateList(s, texts(t, again)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := prism.Execute(ctx, p); ended <- err }()
		if life < kills {
			waitForEpoch(t, st, again, done)
			time.Sleep(time.Duration(draw.IntN(100)) * time.Millisecond)
			if err := worker.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// Prism 2.77 was once seen to wait for ever after this: a person would cancel.
			time.AfterFunc(10*time.Second, cancel)
		}
		if err := <-ended; (err == nil) != (life == kills) {
			t.Errorf("life %d: the job ends with %v", life, err)
		}
		cancel()
		now := epochs(t, st, again)
		if now < done {
			t.Errorf("life %d: %d epochs are durable, %d were", life, now, done)
		}
		done = now
	}
	for _, j := range again {
		if !same(files(t, plain, j), files(t, st, j)) {
			t.Errorf("%s has other weights than undisturbed", j.Name())
		}
	}
}

// waitForEpoch waits until more epochs are durable.
func waitForEpoch(t *testing.T, st *store.Store, list []Job, before int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); epochs(t, st, list) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no new epoch within a minute")
		}
	}
}

// epochs counts the durable ones of all jobs.
func epochs(t *testing.T, st *store.Store, list []Job) (sum int64) {
	t.Helper()
	for _, j := range list {
		n, err := Done(t.Context(), st, j)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
