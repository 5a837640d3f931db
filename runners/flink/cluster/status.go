package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Status is how a cluster is doing.
type Status struct {
	State
	Folder    string    `json:"folder"`
	Answers   bool      `json:"answers"` // the job server does
	Free      int       `json:"free_slots"`
	Processes []Process `json:"processes"`
	Jobs      []Job     `json:"jobs"`
}

// Process is one process of a cluster.
type Process struct {
	Role string `json:"role"`
	PID  int    `json:"pid"`
	RSS  int64  `json:"rss_bytes"`
	Log  string `json:"log"`
}

// Job is one that has not ended.
type Job struct {
	ID    string `json:"jid"`
	Name  string `json:"name"`
	State string `json:"state"`
}

// Look asks how the cluster of a folder is doing (empty: the default folder's). The
// error is fs.ErrNotExist where nothing runs and nothing was started.
func Look(ctx context.Context, folder string) (Status, error) {
	folder, err := orDefault(folder)
	if err != nil {
		return Status{}, err
	}
	found, err := running(folder)
	if err != nil {
		return Status{}, err
	}
	s := Status{Folder: folder, Processes: []Process{}, Jobs: []Job{}}
	for _, role := range roles {
		for _, pid := range found[role] {
			s.Processes = append(s.Processes, Process{role, pid, rss(pid), logFile(folder, role)})
		}
	}
	if s.State, err = Read(folder); err != nil {
		if len(found) > 0 {
			err = fmt.Errorf("%w; its processes run all the same: run `noisystudent flink down`", err)
		}
		return s, err
	}
	s.Answers = Answers(ctx, s.Endpoint)
	var overview struct {
		Free int `json:"slots-available"`
	}
	if get(ctx, s.REST, "/overview", &overview) == nil { // else there are none
		s.Free = overview.Free
	}
	s.Jobs = jobs(ctx, s.REST)
	return s, nil
}

// jobs are those that have not ended; none where Flink does not answer.
func jobs(ctx context.Context, rest string) []Job {
	var answer struct{ Jobs []Job }
	list := []Job{}
	if get(ctx, rest, "/jobs/overview", &answer) != nil {
		return list
	}
	for _, j := range answer.Jobs {
		switch j.State {
		case "FINISHED", "FAILED", "CANCELED":
		default:
			list = append(list, j)
		}
	}
	return list
}

// String is the status for people.
func (s Status) String() string {
	var b strings.Builder
	answers := "answers"
	if !s.Answers {
		answers = "does not answer; see the log of the job server, or run `noisystudent flink up`"
	}
	fmt.Fprintf(&b, "job server   %s %s\nFlink        http://%s, %d slots free\n", s.Endpoint, answers, s.REST, s.Free)
	for _, p := range s.Processes {
		fmt.Fprintf(&b, "%-12s process %d, %d MiB, log %s\n", p.Role, p.PID, p.RSS>>20, p.Log)
	}
	if s.Local {
		fmt.Fprintf(&b, "%-12s log %s\n", "workers", s.Workers)
	}
	for _, j := range s.Jobs {
		fmt.Fprintf(&b, "%-12s %s %s\n", "job", j.Name, j.State)
	}
	return b.String()
}

// rss is the memory that a process holds; 0 where that cannot be known.
func rss(pid int) int64 {
	if f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		defer f.Close()
		for scan := bufio.NewScanner(f); scan.Scan(); {
			if text, ok := strings.CutPrefix(scan.Text(), "VmRSS:"); ok {
				return kib(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			}
		}
		return 0
	}
	out, _ := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	return kib(strings.TrimSpace(string(out)))
}

func kib(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n << 10
}
