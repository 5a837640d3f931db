package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"noisystudent/model/random"
	"noisystudent/transforms/augment"
)

// margin is how much larger than the patch the case is, on each side.
const margin = 40

// augmented makes samples patches with the student's table, and leaves their
// parameters in the folder, so that the peer does the same.
func augmented(t task) (func() error, error) {
	table, err := augment.Lookup("student")
	if err != nil {
		return nil, err
	}
	var params []augment.Params
	for i := range t.Samples {
		params = append(params, augment.Draw(random.New(4, uint64(i)), table))
	}
	data, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(t.Folder, "parameters.json"), data, 0o644); err != nil {
		return nil, err
	}
	src, scratch := newCase(t.Patch), augment.Scratch{}
	dst := augment.Patch{Shape: t.Patch, Image: make([]float32, t.voxels()), Labels: make([]uint8, t.voxels())}
	return func() error {
		for _, p := range params {
			if err := scratch.Apply(context.Background(), p, src, [3]int{margin, margin, margin}, dst); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// memoryCase is a case in memory: a sawtooth as image, every third block of 20x32x32
// voxels an organ. peer.py makes the same.
type memoryCase struct {
	shape  [3]int
	image  []float32
	labels []uint8
}

func newCase(patch [3]int) memoryCase {
	c := memoryCase{shape: [3]int{patch[0] + 2*margin, patch[1] + 2*margin, patch[2] + 2*margin}}
	n := c.shape[0] * c.shape[1] * c.shape[2]
	c.image, c.labels = make([]float32, n), make([]uint8, n)
	for i := range n {
		c.image[i] = float32(i%97)/48 - 1
		z, y, x := i/c.shape[2]/c.shape[1], i/c.shape[2]%c.shape[1], i%c.shape[2]
		if block := z/20*64 + y/32*8 + x/32; block%3 == 0 {
			c.labels[i] = uint8(block / 3 % classes)
		}
	}
	return c
}

func (c memoryCase) Shape() [3]int { return c.shape }

func (c memoryCase) ReadImage(_ context.Context, lo, hi [3]int, dst []float32) error {
	copyBox(dst, c.image, c.shape, lo, hi)
	return nil
}

func (c memoryCase) ReadLabels(_ context.Context, lo, hi [3]int, dst []uint8) error {
	copyBox(dst, c.labels, c.shape, lo, hi)
	return nil
}

func copyBox[T any](dst, src []T, shape, lo, hi [3]int) {
	i := 0
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			i += copy(dst[i:], src[(z*shape[1]+y)*shape[2]:][lo[2]:hi[2]])
		}
	}
}
