//go:build !linux && !darwin

package store

import "sync"

var folders sync.Mutex

// lockFolder excludes the other writers of this process only.
func lockFolder(string) (unlock func(), err error) {
	folders.Lock()
	return folders.Unlock, nil
}
