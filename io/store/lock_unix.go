//go:build linux || darwin

package store

import (
	"os"
	"syscall"
)

// lockFolder excludes every other writer of the folder, in this process and in others of this machine. The lock ends with
// the process, so a killed writer blocks nobody.
func lockFolder(folder string) (unlock func(), err error) {
	d, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return func() { d.Close() }, nil
}
