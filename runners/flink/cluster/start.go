package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long a cluster may take to answer, on a busy machine too.
const patience = 3 * time.Minute

// starting is a cluster on its way up.
type starting struct {
	Options
	java  string
	jars  jars
	state State
	ports ports
	known []string   // TaskManagers of before, of which one may be dead
	began []*process // by this call
}

// ports of a cluster.
type ports struct{ job, rest, rpc, artifact, expansion int }

func (c *starting) up(ctx context.Context) (State, error) {
	found, err := running(c.Folder)
	if err != nil {
		return State{}, err
	}
	if err := c.choosePorts(found); err != nil {
		return State{}, err
	}
	if err := c.writeConfig(); err != nil {
		return State{}, err
	}
	if len(found[jobManager]) > 0 && len(found[taskManager]) == 0 {
		c.known, _ = taskManagers(ctx, c.state.REST) // no answer: there are none
	}
	if err = c.startMissing(found); err == nil {
		err = c.wait(ctx)
	}
	if err == nil {
		err = c.writeState()
	}
	if err != nil {
		for _, p := range c.began {
			_ = p.cmd.Process.Kill() // the error that matters is the first one
		}
	}
	return c.state, err
}

// choosePorts keeps those of processes that run, so that the new ones find them.
func (c *starting) choosePorts(found map[string][]int) (err error) {
	had, readErr := Read(c.Folder)
	if len(found) > 0 && readErr == nil {
		c.ports.job, c.ports.rest, c.ports.rpc = portOf(had.Endpoint), portOf(had.REST), had.RPCPort
		c.Slots = had.Slots
	} else if len(found) > 0 {
		return fmt.Errorf("flink: processes of %s run, but what is known of them is gone; run `noisystudent flink down` first", c.Folder)
	}
	for _, p := range []struct {
		port    *int
		asked   int
		usual   int
		flag    string
		started bool // somebody of ours has it
	}{
		{&c.ports.job, c.JobPort, 8099, "--job-port", len(found[jobServer]) > 0},
		{&c.ports.artifact, 0, 8098, "", false},
		{&c.ports.expansion, 0, 8097, "", false},
		{&c.ports.rest, c.RESTPort, 8081, "--rest-port", len(found[jobManager]) > 0 || c.Master != ""},
		{&c.ports.rpc, 0, 6123, "", len(found[jobManager]) > 0 || c.Master != ""},
	} {
		if *p.port != 0 || p.started {
			continue
		}
		if *p.port, err = choosePort(p.asked, p.usual, p.flag); err != nil {
			return err
		}
	}
	c.state = State{
		Endpoint: fmt.Sprintf("localhost:%d", c.ports.job), REST: fmt.Sprintf("localhost:%d", c.ports.rest), Local: true,
		Workers: c.log("workers"), RPCPort: c.ports.rpc, Slots: c.Slots,
	}
	if c.Master != "" {
		c.state = State{Endpoint: c.state.Endpoint, REST: c.Master}
	}
	return nil
}

func portOf(address string) int {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}

// choosePort takes the one that was asked for, the usual one, or any that is free.
func choosePort(asked, usual int, flag string) (int, error) {
	want := usual
	if asked != 0 {
		want = asked
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", want))
	if err != nil && asked != 0 {
		return 0, fmt.Errorf("flink: %s %d: %w; name another, or leave the flag out", flag, asked, err)
	}
	if err != nil {
		l, err = net.Listen("tcp", ":0")
	}
	if err != nil {
		return 0, fmt.Errorf("flink: no free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startMissing starts the processes that do not run.
func (c *starting) startMissing(found map[string][]int) error {
	for _, role := range roles {
		if len(found[role]) > 0 || c.Master != "" && role != jobServer {
			continue
		}
		c.Note("flink: start " + role)
		p, err := c.start(role)
		if err != nil {
			return err
		}
		c.began = append(c.began, p)
	}
	return nil
}

// wait returns once the cluster has slots and the job server answers.
func (c *starting) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		for _, p := range c.began {
			if p.ended() {
				return fmt.Errorf("flink: %s ended:\n%s\nsee %s", p.role, lastWords(p.log), p.log)
			}
		}
		there, err := taskManagers(ctx, c.state.REST)
		alive := func(id string) bool { return !slices.Contains(c.known, id) }
		if err == nil && slices.ContainsFunc(there, alive) && Answers(ctx, c.state.Endpoint) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("flink: no answer (TaskManagers of %s: %v, %v): %w; the logs are in %s", c.state.REST, there, err, ctx.Err(), filepath.Join(c.Folder, "log"))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Answers reports whether somebody listens at an address.
func Answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// taskManagers asks Flink which are registered.
func taskManagers(ctx context.Context, rest string) (ids []string, err error) {
	var answer struct {
		List []struct{ ID string } `json:"taskmanagers"`
	}
	err = get(ctx, rest, "/taskmanagers", &answer)
	for _, m := range answer.List {
		ids = append(ids, m.ID)
	}
	return ids, err
}

// get asks Flink's REST interface.
func get(ctx context.Context, rest, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+rest+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: %s", rest, path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (c *starting) writeState() error {
	data, err := json.MarshalIndent(c.state, "", " ")
	if err != nil {
		return err
	}
	file := stateFile(c.Folder)
	if err := os.WriteFile(file+".part", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	return os.Rename(file+".part", file)
}

// lastWords are the last lines of a log that tell a fault, or just the last ones.
func lastWords(file string) string {
	data, _ := os.ReadFile(file)
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	var faults []string
	for _, line := range all {
		if strings.Contains(line, " ERROR ") || strings.HasPrefix(line, "Caused by: ") || strings.HasPrefix(line, "Error") || strings.HasPrefix(line, "Exception") {
			faults = append(faults, line)
		}
	}
	if len(faults) > 0 {
		all = faults
	}
	return strings.Join(all[max(len(all)-4, 0):], "\n")
}
