package driver

import "noisystudent/model/cuda/library"

// calls are libcuda's entry points: numbers for those that are called with numbers
// only, functions for those that write to Go memory.
type calls struct {
	init, setCurrent, free, moduleUnload, launch uintptr
	streamDestroy, streamSync, fill              uintptr
	setFunction, beginCapture, graphLaunch       uintptr
	graphDestroy, instanceDestroy, hostFree      uintptr
	eventDestroy, eventRecord                    uintptr
	copy                                         uintptr

	version      func(v *int32) int32
	errorName    func(code int32, name **byte) int32
	count        func(n *int32) int32
	deviceGet    func(device *int32, ordinal int32) int32
	name         func(text *byte, length, device int32) int32
	bus          func(text *byte, length, device int32) int32
	totalMemory  func(bytes *uintptr, device int32) int32
	attribute    func(value *int32, attribute, device int32) int32
	retain       func(context *uintptr, device int32) int32
	release      func(device int32) int32
	memory       func(free, total *uintptr) int32
	alloc        func(p *Pointer, bytes uintptr) int32
	hostAlloc    func(p **byte, bytes uintptr, flags uint32) int32
	upload       func(dst Pointer, src *byte, bytes, stream uintptr) int32
	download     func(dst *byte, src Pointer, bytes, stream uintptr) int32
	streamCreate func(stream *uintptr, flags uint32) int32
	moduleLoad   func(module *uintptr, image *byte) int32
	function     func(function *uintptr, module uintptr, name string) int32
	parameter    func(function, index uintptr, offset, bytes *uintptr) int32 // nil before CUDA 12.4
	endCapture   func(stream uintptr, graph *uintptr) int32
	instantiate  func(instance *uintptr, graph uintptr, flags uint64) int32
	eventCreate  func(event *uintptr, flags uint32) int32
	eventElapsed func(milliseconds *float32, start, end uintptr) int32
}

func (c *calls) resolve(l library.Library) error {
	for name, at := range map[string]*uintptr{
		"cuInit": &c.init, "cuCtxSetCurrent": &c.setCurrent, "cuMemFree_v2": &c.free, "cuModuleUnload": &c.moduleUnload,
		"cuLaunchKernel": &c.launch, "cuStreamDestroy_v2": &c.streamDestroy, "cuStreamSynchronize": &c.streamSync, "cuMemsetD32Async": &c.fill,
		"cuFuncSetAttribute": &c.setFunction, "cuStreamBeginCapture_v2": &c.beginCapture, "cuGraphLaunch": &c.graphLaunch,
		"cuEventDestroy_v2": &c.eventDestroy, "cuEventRecord": &c.eventRecord,
		"cuGraphDestroy": &c.graphDestroy, "cuGraphExecDestroy": &c.instanceDestroy, "cuMemFreeHost": &c.hostFree, "cuMemcpyDtoDAsync_v2": &c.copy,
	} {
		var err error
		if *at, err = l.Symbol(name); err != nil {
			return err
		}
	}
	for name, at := range map[string]any{
		"cuDriverGetVersion": &c.version, "cuGetErrorName": &c.errorName, "cuDeviceGetCount": &c.count, "cuDeviceGet": &c.deviceGet,
		"cuDeviceGetName": &c.name, "cuDeviceGetPCIBusId": &c.bus, "cuDeviceTotalMem_v2": &c.totalMemory, "cuDeviceGetAttribute": &c.attribute,
		"cuDevicePrimaryCtxRetain": &c.retain, "cuDevicePrimaryCtxRelease_v2": &c.release, "cuMemGetInfo_v2": &c.memory,
		"cuMemAlloc_v2": &c.alloc, "cuMemHostAlloc": &c.hostAlloc,
		"cuMemcpyHtoDAsync_v2": &c.upload, "cuMemcpyDtoHAsync_v2": &c.download, "cuStreamCreate": &c.streamCreate,
		"cuModuleLoadData": &c.moduleLoad, "cuModuleGetFunction": &c.function,
		"cuStreamEndCapture": &c.endCapture, "cuGraphInstantiateWithFlags": &c.instantiate,
		"cuEventCreate": &c.eventCreate, "cuEventElapsedTime": &c.eventElapsed,
	} {
		if err := l.Bind(name, at); err != nil {
			return err
		}
	}
	if _, err := l.Symbol("cuFuncGetParamInfo"); err != nil {
		return nil
	}
	return l.Bind("cuFuncGetParamInfo", &c.parameter)
}
