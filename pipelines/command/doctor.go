package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/runners/flink/cluster"
	limits "noisystudent/transforms/memory"
)

func doctorCommand(c *session) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can do and what to mend",
		Long: `doctor looks at the processor, the memory, the store, the GPU and Flink, and says
of each what to do about it. It exits with 1 where nothing could run.`,
		Example: "  noisystudent doctor --store /data/store",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.libraries(); err != nil {
				return err
			}
			list := []finding{processor(), memory(), writable(cmd.Context(), root), gpu(), flinkHere()}
			return report(c.out, list)
		},
	}
	cmd.Flags().StringVar(&root, "store", "", "folder or gs://BUCKET/PREFIX to check for writing")
	c.libraryFlags(cmd)
	return cmd
}

// finding is one thing that doctor looked at.
type finding struct {
	about, state string
	remedy       string // what to do; empty: nothing
	broken       bool   // without it nothing runs
}

// report prints findings, each with its remedy below it.
func report(w io.Writer, list []finding) error {
	var broken []string
	for _, f := range list {
		fmt.Fprintf(w, "%-8s %s\n", f.about, f.state)
		if f.remedy != "" {
			fmt.Fprintf(w, "%-8s -> %s\n", "", f.remedy)
		}
		if f.broken {
			broken = append(broken, f.about)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("doctor: to be mended first: %s", strings.Join(broken, ", "))
	}
	return nil
}

func processor() finding {
	f := finding{about: "cpu"}
	forced := os.Getenv("NOISYSTUDENT_CPU")
	e, err := engine.Open(engine.Options{Device: "cpu"})
	switch {
	case err != nil && forced != "":
		f.state, f.remedy, f.broken = err.Error(), "unset NOISYSTUDENT_CPU, or name the best in it", true
		return f
	case err != nil:
		f.state, f.remedy, f.broken = err.Error(), "use --device ref, slowly, or another machine", true
		return f
	}
	defer e.Close()
	f.state = e.Name() + "; " + halfText(e)
	if strings.Contains(f.state, "generic") {
		f.state += ": plain Go, which takes some 25 times as long as AVX2"
		f.remedy = "full-size networks need a processor with AVX2 and FMA, and a build for amd64 without the tag noasm"
		if forced != "" {
			f.remedy = "unset NOISYSTUDENT_CPU, unless this is a test"
		}
	}
	return f
}

// comfortable is what training a full-size network takes, roughly.
const comfortable = 16 << 30

func memory() finding {
	limit := limits.Limit()
	f := finding{about: "memory", state: fmt.Sprintf("%.1f GiB may be used", float64(limit)/(1<<30))}
	if limit < comfortable {
		f.remedy = fmt.Sprintf("full-size training is at ease with %d GiB: raise the container's limit, or plan less (`plan --explain` says what a plan takes)", comfortable>>30)
	}
	return f
}

func writable(ctx context.Context, root string) finding {
	f := finding{about: "store"}
	if root == "" {
		f.state, f.remedy = "not checked", "name it with --store"
		return f
	}
	if err := probe(ctx, root); err != nil {
		f.state, f.broken = fmt.Sprintf("%s cannot be written: %v", root, err), true
		f.remedy = "choose another --store, make room, or give this user the right to write"
		if strings.HasPrefix(root, "gs://") {
			f.remedy = "" // errors of buckets say what to do
		}
		return f
	}
	f.state = root + " can be written"
	return f
}

// probe writes an object to a store and takes it away again, the folder too if the
// probe has made it.
func probe(ctx context.Context, root string) error {
	_, missing := os.Stat(root)
	st, err := store.Open(ctx, root)
	if err != nil {
		return err
	}
	const key = "doctor-probe"
	if err := st.Write(ctx, key, []byte("noisystudent doctor\n")); err != nil {
		return err
	}
	err = st.Remove(ctx, key)
	if os.IsNotExist(missing) && !strings.Contains(root, "://") {
		_ = os.Remove(root) // only an empty folder goes
	}
	return err
}

func gpu() finding {
	e, err := engine.Open(engine.Options{Device: "auto"})
	if err == nil {
		defer e.Close()
		if err = e.Passed(); err == nil {
			return finding{about: "gpu", state: e.Name() + "; it computes a small training step as the CPU does, and --device auto takes it"}
		}
	}
	f := finding{about: "gpu", state: "none is taken; the CPU computes"}
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		f.state = "a driver of NVIDIA's is here, and the CPU computes all the same"
	}
	if f.state += ": " + firstLine(err); strings.Contains(err.Error(), "\n") {
		f.remedy = "--device cuda says more"
	}
	return f
}

func flinkHere() finding {
	state, err := cluster.Read("")
	switch {
	case err == nil && cluster.Answers(context.Background(), state.Endpoint):
		return finding{about: "flink", state: "a job server answers at " + state.Endpoint + "; --runner=flink uses it"}
	case err == nil:
		return finding{about: "flink", state: "the job server at " + state.Endpoint + " does not answer", remedy: "run `noisystudent flink up`"}
	}
	return finding{
		about: "flink", state: "no cluster was started here; pipelines run inside this process",
		remedy: "only --runner=flink needs one: run `noisystudent flink up`, or give --endpoint=HOST:PORT",
	}
}
