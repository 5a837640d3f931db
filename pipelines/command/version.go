package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"noisystudent/model/engine"
	"noisystudent/model/program"
	"noisystudent/pipelines"
)

// release is the version of what people use: commands, flags and files.
const release = "0.1.0"

// version names what a report of a fault needs.
func version() string {
	return fmt.Sprintf("noisystudent %s%s\n%s %s/%s\nCPU path: %s\nGPU: %s\nfile formats: %s",
		release, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH, cpuPath(), card(), pipelines.Formats())
}

// revision is the commit of the source, where the build knows it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	commit, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if len(commit) < 12 {
		return ""
	}
	return " (" + commit[:12] + modified + ")"
}

// halfText says whether bf16 is worth asking for.
func halfText(e *engine.Engine) string {
	if slices.Contains(e.Reduced(), program.Half) {
		return "bf16: yes"
	}
	return "bf16: no"
}

// card is the first one, which --device auto takes once it has passed its trial, or why there is none.
func card() string {
	e, err := engine.Open(engine.Options{Device: "cuda"})
	if err != nil {
		return "none (" + firstLine(err) + ")"
	}
	defer e.Close()
	return e.Name()
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// cpuPath is the name of the kernels that this processor gets, and whether they have bf16.
func cpuPath() string {
	e, err := engine.Open(engine.Options{Device: "cpu", Threads: 1})
	if err != nil {
		return "none (" + err.Error() + ")"
	}
	defer e.Close()
	name, _, _ := strings.Cut(strings.TrimPrefix(e.Name(), "cpu "), ",")
	return name + ", " + halfText(e)
}
