package nvrtc_test

import (
	"testing"

	"noisystudent/model/device/devicetest"
)

func TestMain(m *testing.M) { devicetest.Main(m) }
