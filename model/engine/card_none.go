//go:build !linux || !(amd64 || arm64) || nocuda

package engine

import (
	"errors"

	"noisystudent/model/device"
)

// errLeftOut is why a binary without CUDA opens no card.
var errLeftOut = errors.New("this binary is built without CUDA (tag nocuda, or a system that is not Linux on amd64 or arm64); take one that is built with it")

func openCard(Options, int) (device.Device, error) { return nil, errLeftOut }
