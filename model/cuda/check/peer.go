package check

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed peer.py
var peerSource []byte

// Engines are the ways in which the peer runs a network, see peer.py.
var Engines = []string{"eager", "channels_last", "compile"}

// Peer is a process of peer.py, which computes on the card that its argument --card names.
type Peer struct {
	command *exec.Cmd
	in      io.WriteCloser
	answers chan answer
}

// answer is a line of the peer.
type answer struct {
	Seconds float64   `json:"seconds"`
	Bytes   int64     `json:"bytes"`
	Times   []float64 `json:"times"`
	Error   string    `json:"error"`
}

// StartPeer starts one with an interpreter of Python; what it prints besides answers goes
// to log.
func StartPeer(python, folder string, log io.Writer, args ...string) (*Peer, error) {
	file := filepath.Join(folder, "peer.py")
	if err := os.WriteFile(file, peerSource, 0o644); err != nil {
		return nil, err
	}
	p := &Peer{command: exec.Command(python, append([]string{file}, args...)...), answers: make(chan answer, 1)}
	p.command.Stderr = log
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("check: start the peer: %w", err)
	}
	go p.listen(out)
	return p, nil
}

// listen passes answers on until the process ends.
func (p *Peer) listen(out io.Reader) {
	defer close(p.answers)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			continue // something that a library has printed
		}
		p.answers <- a
	}
}

// ask sends a request and waits for its answer. A peer that is too late or gone answers
// nothing any more.
func (p *Peer) ask(within time.Duration, request map[string]any) (answer, error) {
	line, err := json.Marshal(request)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	if err != nil {
		return answer{}, fmt.Errorf("check: ask the peer: %w", err)
	}
	select {
	case a, ok := <-p.answers:
		switch {
		case !ok:
			return a, errors.New("check: the peer has ended; its log says why")
		case a.Error != "":
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-time.After(within):
		p.Kill()
		return answer{}, fmt.Errorf("check: the peer has not answered within %v", within)
	}
}

// Kill ends the process at once.
func (p *Peer) Kill() {
	_ = p.in.Close()
	_ = p.command.Process.Kill() // it may have ended
	for range p.answers {
	}
	_ = p.command.Wait()
}

// request names a case to the peer, to be run by an engine.
func (c Case) request(engine string) map[string]any {
	work := "tile"
	if c.Train {
		work = "train"
	}
	return map[string]any{
		"prepare": engine, "engine": engine, "work": work, "batch": c.Batch, "patch": c.Patch, "classes": c.Spec.Classes,
		"features": c.Spec.Features, "kernels": c.Spec.Kernels, "strides": c.Spec.Strides,
	}
}
