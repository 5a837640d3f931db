package ref_test

import (
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/ref"
)

func TestDevice(t *testing.T) {
	devicetest.Run(t, func() device.Device { return ref.New() })
}

func TestDevice64(t *testing.T) {
	if testing.Short() {
		t.Skip("the same code as float32's; left out with -short")
	}
	devicetest.RunWithin(t, func() device.Device { return ref.New64() }, 1e-7)
}
