package driver

import (
	"errors"
	"fmt"
	"unsafe"

	"noisystudent/model/cuda/library"
)

// Version is one of CUDA.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Oldest is the first CUDA that a driver must support.
var Oldest = Version{12, 0}

// MissingError says that there is no libcuda that can be used.
type MissingError struct {
	Path string
	Err  error
}

func (e *MissingError) Error() string {
	if errors.Is(e.Err, library.ErrLeftOut) {
		return "cuda: " + e.Err.Error()
	}
	return fmt.Sprintf("cuda: no NVIDIA driver: load %s: %v; install NVIDIA's driver, or give a container its cards (docker run --gpus all), or name libcuda.so.1 or its folder by --libcuda or %s", e.Path, e.Err, Variable)
}

func (e *MissingError) Unwrap() error { return e.Err }

// TooOldError says that the driver does not run the code of our compilers.
type TooOldError struct{ Have Version }

func (e *TooOldError) Error() string {
	return fmt.Sprintf("cuda: NVIDIA's driver is too old: it supports CUDA %s, need %s; update it to 525 or newer", e.Have, Oldest)
}

// NoCardError says that the card does not exist.
type NoCardError struct{ Card, Count int }

func (e *NoCardError) Error() string {
	if e.Count == 0 {
		return "cuda: the driver sees no card: check what nvidia-smi lists, and CUDA_VISIBLE_DEVICES"
	}
	return fmt.Sprintf("cuda: no card %d: the driver sees %d, counted from 0; check --device and CUDA_VISIBLE_DEVICES", e.Card, e.Count)
}

// BusyError says that the card does not let us in.
type BusyError struct {
	Card      int
	Exclusive bool // another process holds it; else no process may compute on it
}

func (e *BusyError) Error() string {
	if e.Exclusive {
		return fmt.Sprintf("cuda: another process holds card %d, which takes one at a time: wait for it, take another card, or allow several by nvidia-smi -i %d -c DEFAULT", e.Card, e.Card)
	}
	return fmt.Sprintf("cuda: card %d is not available: take another one, or allow work on it by nvidia-smi -i %d -c DEFAULT", e.Card, e.Card)
}

// MemoryError says that the card has too little free memory. The fields are bytes.
type MemoryError struct{ Want, Free, Total int64 }

func (e *MemoryError) Error() string {
	return fmt.Sprintf("cuda: out of memory: want %d MiB, free are %d of %d MiB; take a smaller patch or batch, or end what else runs on the card (nvidia-smi)",
		(e.Want+1<<20-1)>>20, e.Free>>20, e.Total>>20)
}

// Error is a call that the driver refused for another reason.
type Error struct {
	Call string
	Code int32
	Name string // CUDA_ERROR_...
}

func (e *Error) Error() string {
	text := fmt.Sprintf("cuda: %s: %s (%d)", e.Call, e.Name, e.Code)
	if remedy := remedies[e.Code]; remedy != "" {
		text += ": " + remedy
	}
	return text
}

// Numbers of CUresult that are told apart.
const (
	invalidValue      = 1
	outOfMemory       = 2
	deviceUnavailable = 46
	noDevice          = 100
)

var remedies = map[int32]string{
	2:   "the card, or the memory of the machine that may be locked, is full: end what else runs there",
	34:  "libcuda is a stub for linking: take the directory of stubs out of LD_LIBRARY_PATH",
	200: "the code is not for this card",
	209: "the code is not for this card",
	214: "the card's memory has an uncorrectable error: look at nvidia-smi -q, reset or replace the card",
	222: "the driver is older than the compiler: update it",
	700: "a kernel went out of its memory; please report it",
	719: "a kernel failed; please report it",
	802: "the machine's fabric is not ready: start nvidia-fabricmanager",
	803: "libcuda and the kernel module are of two versions: reboot, or install the one that the other is of",
	804: "the installed compatibility libcuda is not for this card: take it out of LD_LIBRARY_PATH",
	999: "look at dmesg; reload NVIDIA's kernel module or reboot",
}

func (d *Driver) check(call string, code int32) error {
	switch code {
	case 0:
		return nil
	case noDevice:
		return &NoCardError{}
	}
	return &Error{Call: call, Code: code, Name: d.errorName(code)}
}

func (d *Driver) errorName(code int32) string {
	var name *byte
	if d.call.errorName(code, &name) != 0 || name == nil {
		return "unknown error"
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(name), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(name, n))
}
