//go:build unix

package cluster

import (
	"os"
	"syscall"
)

// detached starts a process in a session of its own: neither Ctrl-C nor the end of the
// terminal reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
