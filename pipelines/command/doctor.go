package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/pipelines"
)

// version names what a report of a fault needs.
func version() string {
	v := "development"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		v = info.Main.Version
	}
	return fmt.Sprintf("noisystudent %s, %s %s/%s, CPU path %s\nformats: %s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH, cpuPath(), pipelines.Formats())
}

func cpuPath() string {
	e, err := engine.Open(engine.Options{Device: "cpu", Threads: 1})
	if err != nil {
		return "none (" + err.Error() + ")"
	}
	defer e.Close()
	return e.Name()
}

func doctorCommand(c *session) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Say what this machine can do and what to mend",
		Example: "  noisystudent doctor --store /data/store",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !diagnose(cmd.Context(), c.out, root) {
				return fmt.Errorf("doctor: something must be mended")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&root, "store", "", "store to check for writing")
	return cmd
}

// diagnose prints one line a finding, each with its remedy. It returns false where
// nothing can run.
func diagnose(ctx context.Context, w io.Writer, root string) bool {
	fine := true
	line := func(name, state string) { fmt.Fprintf(w, "%-8s %s\n", name, state) }
	e, err := engine.Open(engine.Options{Device: "cpu"})
	if err != nil {
		line("cpu", err.Error())
		fine = false
	} else {
		line("cpu", e.Name())
		e.Close()
	}
	limit := pipelines.MemoryLimit()
	note := ""
	if limit < 4<<30 {
		note = "; full-size training needs 4 GiB or more: give the process more, or use --preset demo"
	}
	line("memory", fmt.Sprintf("%.1f GiB usable%s", float64(limit)/(1<<30), note))
	if root != "" {
		if err := writable(ctx, root); err != nil {
			line("store", fmt.Sprintf("%s cannot be written: %v; choose another --store or give this user the right to write", root, err))
			fine = false
		} else {
			line("store", root+" can be written")
		}
	} else {
		line("store", "not checked; give --store")
	}
	line("gpu", gpu())
	line("flink", flink())
	return fine
}

func writable(ctx context.Context, root string) error {
	st, err := store.Open(ctx, root)
	if err != nil {
		return err
	}
	const key = "doctor/probe"
	if err := st.Write(ctx, key, []byte("noisystudent doctor")); err != nil {
		return err
	}
	return st.Remove(ctx, key)
}

func gpu() string {
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		return "an NVIDIA driver is here, but this version computes on the CPU only"
	}
	return "none found; the CPU is used"
}

func flink() string {
	if home := os.Getenv("FLINK_HOME"); home != "" {
		return "FLINK_HOME is " + home + "; give --runner=flink and --endpoint of its Beam job server"
	}
	if _, err := exec.LookPath("flink"); err == nil {
		return "found; give --runner=flink and --endpoint of its Beam job server"
	}
	return "none found; only --runner=flink needs it"
}
