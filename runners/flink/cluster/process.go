package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"noisystudent/runners/worker"
)

// process is one that this call has started.
type process struct {
	role, log string
	cmd       *exec.Cmd
	gone      chan struct{} // closed at its end
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// mark is the argument by which a process is known as ours.
func mark(role, folder string) string { return "-Dnoisystudent.flink=" + role + "@" + folder }

func (o Options) log(name string) string { return logFile(o.Folder, name) }

func logFile(folder, name string) string { return filepath.Join(folder, "log", name+".log") }

// start starts the process of a role, which outlives this one.
func (c *starting) start(role string) (*process, error) {
	p := &process{role: role, log: c.log(role), gone: make(chan struct{})}
	_ = os.Rename(p.log, p.log+".old") // there may be none
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("flink: %w", err)
	}
	defer log.Close()
	p.cmd = exec.Command(c.java, c.arguments(role)...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Folder, log, log
	p.cmd.Env = append(os.Environ(), "FLINK_CONF_DIR="+c.conf(), worker.LogVariable+"="+c.log("workers"))
	p.cmd.SysProcAttr = detached()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("flink: start %s: %w", role, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.gone)
	}()
	return p, nil
}

// running finds the processes of a folder's cluster, by role.
func running(folder string) (map[string][]int, error) {
	list, err := commandLines()
	if err != nil {
		return nil, fmt.Errorf("flink: list processes: %w", err)
	}
	found := map[string][]int{}
	for pid, args := range list {
		for _, role := range roles {
			if slices.Contains(args, mark(role, folder)) {
				found[role] = append(found[role], pid)
			}
		}
	}
	return found, nil
}

// commandLines returns the arguments of every process.
func commandLines() (map[int][]string, error) {
	list := map[int][]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, err := os.ReadFile(file)
		pid, numbered := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && numbered == nil { // it may have ended
			list[pid] = strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	out, err := exec.Command("ps", "-A", "-ww", "-o", "pid=,args=").Output()
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line) // a folder with spaces is not found this way
		if len(fields) > 1 {
			if pid, err := strconv.Atoi(fields[0]); err == nil {
				list[pid] = fields[1:]
			}
		}
	}
	return list, err
}

// stop asks a process to end and makes it end after some seconds.
func stop(ctx context.Context, folder, role string, pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil // it has ended
	}
	for _, end := range []func() error{func() error { return terminate(p) }, p.Kill} {
		_ = end() // what counts is whether it is still there
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			found, err := running(folder)
			if err != nil || !slices.Contains(found[role], pid) {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return fmt.Errorf("flink: %s, process %d, does not end; kill it as its owner", role, pid)
}

// lock keeps others of this user from fetching and starting until unlock. A lock whose
// owner has died is taken over.
func lock() (unlock func(), err error) {
	base, err := cache()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("flink: %w", err)
	}
	file := filepath.Join(base, "flink.lock")
	for range 2 {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprint(f, os.Getpid())
			return func() { os.Remove(file) }, errors.Join(err, f.Close())
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("flink: %w", err)
		}
		data, _ := os.ReadFile(file)
		list, err := commandLines()
		if err != nil {
			return nil, fmt.Errorf("flink: list processes: %w", err)
		}
		owner, err := strconv.Atoi(string(data))
		if _, alive := list[owner]; err == nil && alive {
			return nil, fmt.Errorf("flink: process %d is starting the cluster; wait for it, or remove %s if it does something else", owner, file)
		}
		os.Remove(file)
	}
	return nil, fmt.Errorf("flink: %s keeps coming back; somebody else starts the cluster", file)
}
