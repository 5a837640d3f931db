package store

import (
	"strings"
	"sync"
)

// WithFault returns the same store with a hook for tests of full disks and lost networks: f is called before each
// operation, and an error from it is the operation's error. The operations are "read" (Read, ReadRange, Open), "stat",
// "list" (with the prefix as key), "remove", and for each write "create", "write" (once for each piece) and "commit".
// Callers that work in parallel call f so.
func WithFault(s *Store, f func(op, key string) error) *Store {
	faulty := *s
	faulty.fault = func(op, key string) error {
		if s.fault != nil {
			if err := s.fault(op, key); err != nil {
				return err
			}
		}
		return f(op, key)
	}
	return &faulty
}

// planted are the faults of FaultUnder, by root.
var planted sync.Map

// FaultUnder is WithFault for every store of this process that is opened at a root or below it until remove is called,
// with full addresses: for tests of programs that open stores by address.
func FaultUnder(root string, f func(op, address string) error) (remove func()) {
	planted.Store(root, f)
	return func() { planted.Delete(root) }
}

// plantedFault gives the fault of the root or of one above it, or nil.
func plantedFault(root string) (fault func(op, address string) error) {
	planted.Range(func(at, f any) bool {
		if above := at.(string); root == above || strings.HasPrefix(root, above+"/") {
			fault = f.(func(op, address string) error)
		}
		return fault == nil
	})
	return fault
}
