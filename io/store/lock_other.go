//go:build !linux && !darwin

package store

import (
	"os"
	"sync"
)

var folders sync.Mutex

// lockFolder excludes the other writers of this process only.
func lockFolder(*os.File) (unlock func(), err error) {
	folders.Lock()
	return folders.Unlock, nil
}

// tryLock never locks: it cannot be known whether a writer lives.
func tryLock(*os.File) bool { return false }
