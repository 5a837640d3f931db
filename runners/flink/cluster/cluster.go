// Package cluster runs Flink with Beam's job server on this machine: a JobManager, a
// TaskManager and the job server, each one Java process.
//
// The one idea: processes are found by what they are. Each has its role and the
// cluster's folder on its command line, so nothing is believed of a file that a crash
// has left, and nothing is ever killed that is not ours.
//
// The second idea makes a job start in a second or two instead of twenty: Beam's jars
// are on the class path of all three processes, and the job server is itself started
// as a Flink program, so that Flink ships only that program's jar, which is empty, and
// not the class path of the job server, 150 MB a job.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Options say what to start. The zero value is a cluster in the user's cache folder.
type Options struct {
	Folder   string            // for configuration, logs and temporary files; empty: in the user's cache folder
	Home     string            // a Flink 1.19 that is installed; empty: FLINK_HOME, else one is fetched into the cache
	Master   string            // HOST:PORT of the REST interface of a cluster that runs already; only the job server is started
	JobPort  int               // of the job server; 0: 8099, or a free one
	RESTPort int               // of Flink; 0: 8081, or a free one
	Slots    int               // bundles at once, all jobs together; 0: one a processor, at least 4
	Note     func(line string) // progress for people; may be nil
}

// State is what others need to know of a cluster: cluster.json of its folder.
type State struct {
	Endpoint string `json:"endpoint"`          // HOST:PORT of the job server
	REST     string `json:"rest"`              // HOST:PORT of Flink's REST interface and web page
	Local    bool   `json:"local"`             // workers run on this machine
	Workers  string `json:"workers,omitempty"` // log of the workers of a local cluster
	RPCPort  int    `json:"rpc_port,omitempty"`
	Slots    int    `json:"slots,omitempty"`
}

// Roles of processes, in the order in which they start.
const (
	jobManager  = "jobmanager"
	taskManager = "taskmanager"
	jobServer   = "jobserver"
)

var roles = []string{jobManager, taskManager, jobServer}

// DefaultFolder is where a cluster lives if nobody says otherwise.
func DefaultFolder() (string, error) {
	base, err := cache()
	return filepath.Join(base, "flink"), err
}

func cache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("flink: no cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(base, "noisystudent"), nil
}

// Read returns the state of a folder's cluster (empty: the default folder's). Where
// none was started the error is fs.ErrNotExist.
func Read(folder string) (State, error) {
	folder, err := orDefault(folder)
	if err != nil {
		return State{}, err
	}
	file := stateFile(folder)
	data, err := os.ReadFile(file)
	if err != nil {
		return State{}, fmt.Errorf("flink: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("flink: read %s: %w; run `noisystudent flink down`, then `up`", file, err)
	}
	return s, nil
}

func orDefault(folder string) (string, error) {
	if folder == "" {
		return DefaultFolder()
	}
	return filepath.Abs(folder)
}

func stateFile(folder string) string { return filepath.Join(folder, "cluster.json") }

// Up starts what does not run yet and returns once the job server answers and the
// cluster has slots. What it needs is fetched first, once. If it fails, or ctx ends,
// it stops again what it has started.
func Up(ctx context.Context, o Options) (State, error) {
	o, err := o.complete()
	if err != nil {
		return State{}, err
	}
	java, err := findJava(ctx)
	if err != nil {
		return State{}, err
	}
	unlock, err := lock()
	if err != nil {
		return State{}, err
	}
	defer unlock()
	jars, err := o.fetch(ctx)
	if err != nil {
		return State{}, err
	}
	c := &starting{Options: o, java: java, jars: jars}
	return c.up(ctx)
}

// complete fills in what was left out.
func (o Options) complete() (Options, error) {
	var err error
	if o.Folder, err = orDefault(o.Folder); err != nil {
		return o, err
	}
	if o.Slots <= 0 {
		o.Slots = max(4, runtime.NumCPU())
	}
	if o.Home == "" {
		o.Home = os.Getenv("FLINK_HOME")
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if err := os.MkdirAll(filepath.Join(o.Folder, "log"), 0o755); err != nil {
		return o, fmt.Errorf("flink: %w; choose another --dir", err)
	}
	return o, nil
}

// Down stops the processes of a folder's cluster (empty: the default folder's) and
// returns their roles. Logs stay.
func Down(ctx context.Context, folder string) ([]string, error) {
	folder, err := orDefault(folder)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(stateFile(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("flink: %w", err)
	}
	found, err := running(folder)
	if err != nil {
		return nil, err
	}
	var stopped []string
	for i := len(roles) - 1; i >= 0; i-- { // the job server first: it holds jobs
		for _, pid := range found[roles[i]] {
			stopped = append(stopped, roles[i])
			if err := stop(ctx, folder, roles[i], pid); err != nil {
				return stopped, err
			}
		}
	}
	return stopped, os.RemoveAll(filepath.Join(folder, "tmp"))
}
