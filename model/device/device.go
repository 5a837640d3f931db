// Package device is the small interface between a compiled program and what
// runs it. Implementations are packages ref, null, cpu and cuda; package
// devicetest is the conformance suite that each of them passes.
package device

import (
	"context"

	"noisystudent/model/program"
)

// Device lays out buffers and loads programs.
type Device interface {
	// Name says what runs, for people: "cpu avx512, 2 threads".
	Name() string
	// Bytes returns the size of a buffer of a program of that precision in this
	// device's layout, a multiple of its alignment.
	Bytes(b program.Buffer, p program.Precision) int64
	// Load takes memory for a placed program (see compile.Place) and readies it.
	// The program must not change afterwards.
	Load(p *program.Program) (Loaded, error)
	// Close gives back what the device holds. Loaded programs must be closed before.
	Close() error
}

// Loaded is a program in a device's memory. Its methods must not run concurrently.
type Loaded interface {
	// Write copies src, in logical order, into a buffer that is not Labels.
	Write(id program.ID, src []float32) error
	// WriteLabels copies src (N, D, H, W) into a Labels buffer.
	WriteLabels(id program.ID, src []uint8) error
	// Read copies a buffer, in logical order, to dst. Temp buffers may hold
	// anything after Run, for their memory is shared.
	Read(id program.ID, dst []float32) error
	// ReadPlane is Read of one plane (C, H, W) of an Activation (N, C, D, H, W); planes
	// count through the batch: n*D + d.
	ReadPlane(id program.ID, plane int, dst []float32) error
	// Run executes all instructions; it stops between two of them when ctx ends.
	Run(ctx context.Context) error
	Close() error
}

// Ahead is a Loaded that takes the inputs of the next run while one runs. What Ahead and
// AheadLabels have copied when a run begins, that run finds, unless it was written by Write
// or WriteLabels since.
type Ahead interface {
	Loaded
	// RunAhead is Run, and calls meanwhile once all is queued and before it is waited for.
	// That may call Ahead and AheadLabels and no other method; they may be called between
	// runs too.
	RunAhead(ctx context.Context, meanwhile func()) error
	// Ahead is Write of an Activation of role Input.
	Ahead(id program.ID, src []float32) error
	// AheadLabels is WriteLabels of role Input.
	AheadLabels(id program.ID, src []uint8) error
}
