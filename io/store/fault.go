package store

import "sync/atomic"

// everywhere is the fault of stores that Open returns, nil but in tests of whole commands.
var everywhere atomic.Pointer[func(op, address string) error]

// FaultEverywhere is WithFault for every store that is opened before end is called, with full addresses.
func FaultEverywhere(f func(op, address string) error) (end func()) {
	everywhere.Store(&f)
	return func() { everywhere.Store(nil) }
}

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
