//go:build linux || darwin

package store

import (
	"os"
	"syscall"
)

// lockFolder excludes every other writer of the folder, in this process and in others of this machine. The lock ends with
// the process, so a killed writer blocks nobody.
func lockFolder(folder *os.File) (unlock func(), err error) {
	fd := int(folder.Fd())
	for {
		err = syscall.Flock(fd, syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	return func() { syscall.Flock(fd, syscall.LOCK_UN) }, err
}

// tryLock locks a file until it is closed, or its process dies, unless somebody else has locked it.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
