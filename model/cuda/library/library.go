// Package library loads shared libraries at run time without cgo. The build tag
// nocuda, and systems that have no CUDA, leave it out: then Open always fails, and a
// binary without cgo is static.
package library

import "errors"

// ErrLeftOut is the error of Open in a binary that cannot load libraries.
var ErrLeftOut = errors.New("this binary is built without CUDA (tag nocuda, or a system that is not Linux on amd64 or arm64); take one that is built with it")

// Library is a loaded shared library. It is never unloaded.
type Library struct{ handle uintptr }
