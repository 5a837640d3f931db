package cpu

import (
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
)

// TestDevice holds every path that this CPU and build have to package ref.
func TestDevice(t *testing.T) {
	for _, table := range tables() {
		t.Run(table.name, func(t *testing.T) {
			devicetest.Run(t, func() device.Device { return open(table, 2) })
		})
	}
}

// TestThreads demands the same bytes from any number of threads.
func TestThreads(t *testing.T) {
	for _, table := range tables() {
		var opens []func() device.Device
		for _, threads := range []int{1, 2, 7} {
			opens = append(opens, func() device.Device { return open(table, threads) })
		}
		t.Run(table.name, func(t *testing.T) { devicetest.Same(t, opens...) })
	}
}
