package device

import (
	"fmt"
	"math"

	"noisystudent/model/program"
)

// Blender is a Loaded that can blend the tiles of an image in the device's memory, so
// that logits need not leave it.
type Blender interface {
	// Blend takes memory to blend what runs leave in an Activation (1, C, D, H, W), the
	// logits of a tile.
	Blend(logits program.ID, b Blend) (Blended, error)
}

// Blend says how tiles become labels. A voxel's value is the mean of the logits of all
// tiles over it, weighted; of several models, the mean of the softmax of these.
type Blend struct {
	Models  int
	Size    [2]int    // (H, W) of the image, at least those of a tile
	Weights []float32 // (D, H, W) of a tile's voxels, above 0
	Softmax bool      // take softmax of each tile, before anything is added
	Scores  bool      // Blended.Scores will be called: its memory is taken with the rest
}

// Blended holds the planes of an image that tiles may still add to: as many as a tile is
// deep, plane z at place z mod D. They start empty. Its methods must not run at the same
// time as any of the Loaded that it is of, and it must be closed before that.
type Blended interface {
	// Add adds what the last run has left, times the weights and a share, to the planes of
	// a model: the tile whose first voxel is at (z, y, x), flipped along axes. The weights
	// of a voxel are those that model 0 was given.
	Add(model int, at [3]int, flipped [3]bool, share float32) error
	// Labels gives the class of the largest score of each voxel (H, W) of plane z, the
	// lowest among equals, and its probability: the score where that is one, else its
	// softmax. Voxels that no tile was added to are not defined.
	Labels(z int, labels []uint8, probability []float32) error
	// Scores gives all scores (C, H, W): logits where there is one model and no Softmax,
	// else probabilities.
	Scores(z int, scores []float32) error
	// Clear empties plane z for the tiles below.
	Clear(z int) error
	Close() error
}

// Check reports why a program's logits cannot be blended so. Every device calls it first.
func (b Blend) Check(p *program.Program, logits program.ID) error {
	if logits < 0 || int(logits) >= len(p.Buffers) {
		return fmt.Errorf("no buffer %d", logits)
	}
	s := p.Buffers[logits].Shape
	if p.Buffers[logits].Class != program.Activation || s[0] != 1 || s[1] < 2 || s[1] > math.MaxUint8+1 {
		return fmt.Errorf("buffer %q is %s %v, need logits of one tile with 2 to 256 classes", p.Buffers[logits].Name, p.Buffers[logits].Class, s)
	}
	if b.Models < 1 || b.Size[0] < s[3] || b.Size[1] < s[4] || len(b.Weights) != s[2]*s[3]*s[4] {
		return fmt.Errorf("%d models, planes of %v and %d weights for tiles %v", b.Models, b.Size, len(b.Weights), s[2:])
	}
	return nil
}

// CheckAdd reports why a tile (D, H, W) cannot be added.
func (b Blend) CheckAdd(tile [3]int, model int, at [3]int) error {
	if model < 0 || model >= b.Models || at[0] < 0 || at[1] < 0 || at[2] < 0 || at[1]+tile[1] > b.Size[0] || at[2]+tile[2] > b.Size[1] {
		return fmt.Errorf("model %d of %d, tile %v at %v in planes of %v", model, b.Models, tile, at, b.Size)
	}
	return nil
}

// CheckPlane reports why a plane z with n values of each of its voxels cannot be copied
// to a slice.
func (b Blend) CheckPlane(z, n, length int) error {
	if want := n * b.Size[0] * b.Size[1]; z < 0 || length != want {
		return fmt.Errorf("plane %d of %d values, need %d", z, length, want)
	}
	return nil
}
