package driver

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// calls are libcuda's entry points: numbers for those that are called with numbers
// only, functions for those that write to Go memory.
type calls struct {
	init, setCurrent, free, moduleUnload, launch uintptr
	streamDestroy, streamSync, fill              uintptr
	setAttribute                                 uintptr

	deviceGet    func(device *int32, ordinal int32) int32
	attribute    func(value *int32, attribute, device int32) int32
	retain       func(context *uintptr, device int32) int32
	release      func(device int32) int32
	alloc        func(p *Pointer, bytes uintptr) int32
	hostAlloc    func(p **byte, bytes uintptr, flags uint32) int32
	hostFree     func(p *byte) int32
	upload       func(dst Pointer, src *byte, bytes, stream uintptr) int32
	download     func(dst *byte, src Pointer, bytes, stream uintptr) int32
	streamCreate func(stream *uintptr, flags uint32) int32
	moduleLoad   func(module *uintptr, image *byte) int32
	function     func(function *uintptr, module uintptr, name string) int32
}

func (c *calls) resolve(library uintptr) error {
	for name, at := range map[string]*uintptr{
		"cuInit": &c.init, "cuCtxSetCurrent": &c.setCurrent, "cuMemFree_v2": &c.free, "cuModuleUnload": &c.moduleUnload,
		"cuLaunchKernel": &c.launch, "cuStreamDestroy_v2": &c.streamDestroy, "cuStreamSynchronize": &c.streamSync, "cuMemsetD32Async": &c.fill,
		"cuFuncSetAttribute": &c.setAttribute,
	} {
		address, err := purego.Dlsym(library, name)
		if err != nil {
			return fmt.Errorf("no %s: %w", name, err)
		}
		*at = address
	}
	for name, at := range map[string]any{
		"cuDeviceGet": &c.deviceGet, "cuDeviceGetAttribute": &c.attribute, "cuDevicePrimaryCtxRetain": &c.retain,
		"cuDevicePrimaryCtxRelease_v2": &c.release, "cuMemAlloc_v2": &c.alloc, "cuMemHostAlloc": &c.hostAlloc, "cuMemFreeHost": &c.hostFree,
		"cuMemcpyHtoDAsync_v2": &c.upload, "cuMemcpyDtoHAsync_v2": &c.download, "cuStreamCreate": &c.streamCreate,
		"cuModuleLoadData": &c.moduleLoad, "cuModuleGetFunction": &c.function,
	} {
		address, err := purego.Dlsym(library, name)
		if err != nil {
			return fmt.Errorf("no %s: %w", name, err)
		}
		purego.RegisterFunc(at, address)
	}
	return nil
}
