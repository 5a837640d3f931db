package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// LogVariable names the environment variable with the file that workers write to: a
// runner keeps nothing of what the workers of a PROCESS environment print. Without it
// that is noisystudent-workers.log in the folder for temporary files.
const LogVariable = "NOISYSTUDENT_WORKER_LOG"

// openLog sends what this process prints, and how it crashes, to the workers' log, to
// which all workers of a machine append. One that cannot be opened is no reason to
// stop.
func openLog() {
	name := os.Getenv(LogVariable)
	if name == "" {
		name = filepath.Join(os.TempDir(), "noisystudent-workers.log")
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	_ = debug.SetCrashOutput(f, debug.CrashOptions{}) // without it a crash is not logged, no more
	os.Stdout, os.Stderr = f, f
}

// note writes a line to the workers' log.
func note(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%s worker %d: %s\n", time.Now().UTC().Format("2006-01-02 15:04:05.000"), os.Getpid(), fmt.Sprintf(format, a...))
}
