// Package unet is the network: its plain description, its learned arrays, and its
// declaration on a graph.
//
// A Spec is what nnU-Net's planner writes for a PlainConvUNet; Params lists the
// arrays, under nnU-Net's state-dict names and with its initialisation; Forward
// declares the graph. Axes are (N, C, D, H, W), kernels (Cout, Cin, KD, KH, KW) and,
// of transposed convolutions, (Cin, Cout, KD, KH, KW). Logits are listed from the
// highest resolution down. Reference: dynamic_network_architectures 0.4.4.
package unet

import "fmt"

// Spec is a plain 3-D U-Net as nnU-Net's planner describes it (PlainConvUNet).
// It is part of plan.json and of every checkpoint. Axes are (z, y, x).
type Spec struct {
	InChannels      int      `json:"in_channels"`
	Classes         int      `json:"num_classes"` // outputs, background included
	Features        []int    `json:"features_per_stage"`
	Kernels         [][3]int `json:"kernel_sizes"` // one a stage, each 1 or 3
	Strides         [][3]int `json:"strides"`      // one a stage, each 1 or 2; the first is 1 1 1
	ConvsEncoder    []int    `json:"n_conv_per_stage"`
	ConvsDecoder    []int    `json:"n_conv_per_stage_decoder"` // one fewer than stages
	DeepSupervision bool     `json:"deep_supervision"`
}

// Stages returns the number of resolutions.
func (s Spec) Stages() int { return len(s.Features) }

// Outputs returns how many resolutions give logits in training: all decoder
// stages with deep supervision, else the highest only.
func (s Spec) Outputs() int {
	if !s.DeepSupervision {
		return 1
	}
	return s.Stages() - 1
}

// Divisor returns what each patch axis must be a multiple of.
func (s Spec) Divisor() [3]int {
	d := [3]int{1, 1, 1}
	for _, stride := range s.Strides {
		for a := range d {
			d[a] *= stride[a]
		}
	}
	return d
}

// Check reports the first thing that makes the Spec not a network.
func (s Spec) Check() error {
	n := s.Stages()
	switch {
	case n < 2 || n > 12:
		return fmt.Errorf("unet: check spec: %d stages, need 2 to 12", n)
	case s.InChannels != 1:
		return fmt.Errorf("unet: check spec: %d input channels, only 1 is supported", s.InChannels)
	case s.Classes < 2 || s.Classes > 255:
		return fmt.Errorf("unet: check spec: %d classes, need 2 to 255", s.Classes)
	case len(s.Kernels) != n || len(s.Strides) != n || len(s.ConvsEncoder) != n || len(s.ConvsDecoder) != n-1:
		return fmt.Errorf("unet: check spec: %d kernels, %d strides, %d encoder and %d decoder conv counts do not fit %d stages",
			len(s.Kernels), len(s.Strides), len(s.ConvsEncoder), len(s.ConvsDecoder), n)
	}
	for i := range n {
		if s.Features[i] < 1 || s.Features[i] > 1024 {
			return fmt.Errorf("unet: check spec: stage %d has %d features, need 1 to 1024", i, s.Features[i])
		}
		if s.ConvsEncoder[i] < 1 || s.ConvsEncoder[i] > 8 || i < n-1 && (s.ConvsDecoder[i] < 1 || s.ConvsDecoder[i] > 8) {
			return fmt.Errorf("unet: check spec: stage %d: convs per stage must be 1 to 8", i)
		}
		for a := range 3 {
			if k := s.Kernels[i][a]; k != 1 && k != 3 {
				return fmt.Errorf("unet: check spec: stage %d kernel %v, each must be 1 or 3", i, s.Kernels[i])
			}
			if t := s.Strides[i][a]; t != 1 && t != 2 || i == 0 && t != 1 {
				return fmt.Errorf("unet: check spec: stage %d stride %v, each must be 1 or 2 and 1 in the first stage", i, s.Strides[i])
			}
		}
	}
	return nil
}
