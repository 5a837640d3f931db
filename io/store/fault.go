package store

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
