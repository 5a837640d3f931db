//go:build !linux || !(amd64 || arm64) || nocuda

package library

// Open fails with ErrLeftOut.
func Open(string, bool) (Library, error) { return Library{}, ErrLeftOut }

// Bind fails with ErrLeftOut.
func (l Library) Bind(string, any) error { return ErrLeftOut }

// Symbol fails with ErrLeftOut.
func (l Library) Symbol(string) (uintptr, error) { return 0, ErrLeftOut }

// Call is never reached, for Symbol finds no function.
func Call(uintptr, ...uintptr) uintptr { panic(ErrLeftOut) }
