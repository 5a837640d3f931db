// Package nvml asks NVIDIA's management library how busy a card is. The library comes
// with the driver and is loaded when it is wanted; where it is missing, nothing is known.
package nvml

import (
	"fmt"

	"noisystudent/model/cuda/library"
)

// Library is a loaded libnvidia-ml. Its methods may be called from any goroutine.
type Library struct {
	handle func(bus string, device *uintptr) int32
	rates  func(device uintptr, rates *rates) int32
}

// rates is nvmlUtilization_t: percent of the last moments, at most a second.
type rates struct{ computing, _ uint32 }

// Open loads the library from a path or, where it is empty, from the loader's path.
func Open(path string) (*Library, error) {
	if path == "" {
		path = "libnvidia-ml.so.1"
	}
	l, err := library.Open(path, false)
	if err != nil {
		return nil, fmt.Errorf("nvml: %w", err)
	}
	n := &Library{}
	var start func() int32
	for name, at := range map[string]any{
		"nvmlInit_v2": &start, "nvmlDeviceGetHandleByPciBusId_v2": &n.handle, "nvmlDeviceGetUtilizationRates": &n.rates,
	} {
		if err := l.Bind(name, at); err != nil {
			return nil, fmt.Errorf("nvml: %s: %w", path, err)
		}
	}
	if code := start(); code != 0 {
		return nil, fmt.Errorf("nvml: nvmlInit: error %d", code)
	}
	return n, nil
}

// Busy returns for how many percent of the last moments any kernel ran on a card, whose
// address on the bus is that of the driver: "0000:3b:00.0".
func (l *Library) Busy(bus string) (percent int, err error) {
	var device uintptr
	if code := l.handle(bus, &device); code != 0 {
		return 0, fmt.Errorf("nvml: find card %s: error %d", bus, code)
	}
	var r rates
	if code := l.rates(device, &r); code != 0 {
		return 0, fmt.Errorf("nvml: how busy card %s is: error %d", bus, code)
	}
	return int(r.computing), nil
}
