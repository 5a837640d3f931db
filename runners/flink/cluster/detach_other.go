//go:build !unix

package cluster

import (
	"os"
	"syscall"
)

func detached() *syscall.SysProcAttr { return nil }

func terminate(p *os.Process) error { return p.Kill() }
